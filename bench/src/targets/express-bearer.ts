import type { AddressInfo } from 'node:net';
import express, { type Request, type Response } from 'express';
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer';
import { runTarget } from '../target.ts';

/** What a peer verifies tokens with. */
export interface VerifierSetup {
  issuer: string;
  audience: string;
  jwksUri: string;
  publicKeyPem: string;
}

// The same route as the manuals of Express and the library have it, without validation, denylist, log and metrics.
await runTarget(async ({ issuer, audience, jwksUri }: VerifierSetup) => {
  const app = express();
  const quote = (req: Request, res: Response) => {
    res.json({ id: req.params.id, priceCents: 1290, currency: 'EUR', quotedTo: req.auth?.payload.sub });
  };
  app.get('/open/quotes/:id', quote);
  app.use(auth({ issuer, audience, jwksUri, tokenSigningAlg: 'ES256', strict: true }));
  app.get('/quotes/:id', requiredScopes('items:read'), quote);
  return new Promise((resolve) => {
    const server = app.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
});
