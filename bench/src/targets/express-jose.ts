import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import express, { type Request, type Response } from 'express';
import { generateKeyPair, SignJWT } from 'jose';
import { runTarget } from '../target.ts';

const issuer = 'http://localhost:8080';
const digest = (text: string) => createHash('sha256').update(text).digest();

/** The client that may ask for tokens. */
export interface PeerSetup {
  clientId: string;
  clientSecret: string;
  scope: string;
}

// The least that answers a client credentials request: one client, one scope, no store, no log.
await runTarget(async ({ clientId, clientSecret, scope }: PeerSetup) => {
  const { privateKey } = await generateKeyPair('ES256');
  const expected = digest(clientSecret);
  const app = express();
  app.use(express.urlencoded({ extended: false }));
  app.post('/token', async (req: Request, res: Response) => {
    const [scheme, credentials = ''] = req.headers.authorization?.split(' ') ?? [];
    const [id, secret = ''] = Buffer.from(credentials, 'base64').toString().split(':');
    if (scheme !== 'Basic' || id !== clientId || !timingSafeEqual(digest(secret), expected)) {
      return res.status(401).json({ error: 'invalid_client' });
    }
    if (req.body.grant_type !== 'client_credentials') {
      return res.status(400).json({ error: 'unsupported_grant_type' });
    }
    if (req.body.scope !== scope) return res.status(400).json({ error: 'invalid_scope' });
    const access_token = await new SignJWT({ client_id: clientId, scope, roles: [] })
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'the-only-one' })
      .setIssuer(issuer)
      .setSubject(clientId)
      .setAudience('urn:gatehouse:api')
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(privateKey);
    return res
      .set('Cache-Control', 'no-store')
      .json({ access_token, token_type: 'Bearer', expires_in: 300, scope });
  });
  return new Promise((resolve) => {
    const server = app.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
});
