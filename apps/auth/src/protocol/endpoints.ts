import { Problem } from '@gatehouse/service-kit';
import { type RequestHandler, Router } from 'express';

const metadata = { methods: ['GET', 'HEAD', 'OPTIONS'], maxAgeSeconds: 300 };
const form = { methods: ['POST', 'OPTIONS'] };
const page = { methods: ['GET', 'HEAD'] };

/** What oidc-provider serves here, and how; anything else is no route of ours. */
const endpoints: Record<string, { methods: readonly string[]; maxAgeSeconds?: number }> = {
  '/.well-known/openid-configuration': metadata,
  '/.well-known/oauth-authorization-server': metadata,
  // Shorter than a new key is published before it signs.
  '/.well-known/jwks.json': { ...metadata, maxAgeSeconds: 60 },
  '/authorize': page,
  '/authorize/:uid': page,
  '/par': form,
  '/token': form,
  '/introspect': form,
  '/revoke': form,
  '/userinfo': { methods: ['GET', 'HEAD', 'POST', 'OPTIONS'] },
  '/device/authorize': form,
  '/device': { methods: ['GET', 'HEAD', 'POST'] },
  '/device/:uid': page,
  '/logout': page,
  '/logout/confirm': { methods: ['POST'] },
  '/logout/success': page,
};

/** Hands the protocol's requests to oidc-provider, under their own paths: it derives addresses from them. */
export function oauthEndpoints(answer: RequestHandler): Router {
  const router = Router({ caseSensitive: true, strict: true });
  for (const [path, { methods, maxAgeSeconds }] of Object.entries(endpoints)) {
    router.all(path, (req, res, next) => {
      if (!methods.includes(req.method)) {
        throw new Problem(405, undefined, { headers: { Allow: methods.join(', ') } });
      }
      if (maxAgeSeconds) res.setHeader('Cache-Control', `public, max-age=${maxAgeSeconds}`);
      // Node drains no request that was read in part, and a connection kept open would never hear the next one.
      res.once('finish', () => req.resume());
      return answer(req, res, next);
    });
  }
  return router;
}
