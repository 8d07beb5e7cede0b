import type { AddressInfo } from 'node:net';
import express, { type NextFunction, type Request, type Response } from 'express';
import { auth } from 'express-oauth2-jwt-bearer';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { Redis } from 'ioredis';
import { runTarget } from '../target.ts';

// The parts as their manuals join them, without logs and metrics.
await runTarget(async ({ upstreamUrl, issuer, audience, jwksUri, alg, redisUrl }) => {
  const redis = new Redis(redisUrl);
  const app = express();
  app.use(auth({ issuer, audience, jwksUri, tokenSigningAlg: alg, strict: true }));
  app.use(async (req: Request, res: Response, next: NextFunction) => {
    if (await redis.exists(`revoked:${req.auth?.payload.jti}`)) res.sendStatus(401);
    else next();
  });
  app.use(createProxyMiddleware({ target: upstreamUrl }));
  return new Promise((resolve) => {
    const server = app.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
});
