import { Problem } from '@gatehouse/service-kit';
import { type RequestHandler, Router, text } from 'express';

const metadata = { methods: ['GET', 'HEAD', 'OPTIONS'], maxAgeSeconds: 300 };
const form = { methods: ['POST', 'OPTIONS'] };
const page = { methods: ['GET', 'HEAD'] };
const pageForForms = { methods: ['GET', 'HEAD', 'POST'] };

/** What oidc-provider serves here, and how; anything else is no route of ours. */
const endpoints: Record<string, { methods: readonly string[]; maxAgeSeconds?: number }> = {
  '/.well-known/openid-configuration': metadata,
  '/.well-known/oauth-authorization-server': metadata,
  // Shorter than a new key is published before it signs.
  '/.well-known/jwks.json': { ...metadata, maxAgeSeconds: 60 },
  '/authorize': pageForForms,
  '/authorize/:uid': page,
  '/par': form,
  '/token': form,
  '/introspect': form,
  '/revoke': form,
  '/userinfo': { methods: ['GET', 'HEAD', 'POST', 'OPTIONS'] },
  '/device/authorize': form,
  '/device': { methods: ['GET', 'HEAD', 'POST'] },
  '/device/:uid': page,
  '/logout': pageForForms,
  '/logout/confirm': { methods: ['POST'] },
  '/logout/success': page,
};

// More than any client sends. Koa looks through all of them for each of them, which takes a second for the longest query.
const mostParameters = 100;

/**
 * A form may bring what an address does (OpenID Connect Core 1.0, 3.1.2.1; RP-Initiated Logout 1.0, 2). It is answered with
 * that address, since the cookies of the session do not come with a form of another site (SameSite).
 */
const toAddress: RequestHandler = ({ path, body }, res) => {
  res.redirect(303, `${path}?${new URLSearchParams(body)}`);
};

/** Hands the protocol's requests to oidc-provider, under their own paths: it derives addresses from them. */
export function oauthEndpoints(answer: RequestHandler): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const readForm = text({ type: 'application/x-www-form-urlencoded', limit: '8kb' });
  router.post(['/authorize', '/logout'], readForm, toAddress);
  for (const [path, { methods, maxAgeSeconds }] of Object.entries(endpoints)) {
    router.all(path, (req, res, next) => {
      if (!methods.includes(req.method)) {
        throw new Problem(405, undefined, { headers: { Allow: methods.join(', ') } });
      }
      if (req.url.split('&', mostParameters + 1).length > mostParameters) {
        throw new Problem(400, 'There are too many parameters');
      }
      if (maxAgeSeconds) res.setHeader('Cache-Control', `public, max-age=${maxAgeSeconds}`);
      // Node drains no request that was read in part, and a connection kept open would never hear the next one.
      res.once('finish', () => req.resume());
      return answer(req, res, next);
    });
  }
  return router;
}
