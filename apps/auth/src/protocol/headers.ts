import { Problem, requestIdOf } from '@gatehouse/service-kit';
import type { RequestHandler } from 'express';
import helmet from 'helmet';
import { noteClientAddress } from '../client-address.ts';

/**
 * Makes every address that the server tells start with the issuer: what a client or a proxy says about host and
 * protocol never reaches the protocol.
 */
export function speakAsIssuer(issuer: string): RequestHandler {
  const { host, protocol } = new URL(issuer);
  return (req, _res, next) => {
    // RFC 9112, 3.2.2: a target in absolute form names a host as well.
    if (!req.url.startsWith('/')) throw new Problem(400, 'The request target must be a path');
    noteClientAddress(req);
    for (const name of Object.keys(req.headers))
      if (name.startsWith('x-forwarded-')) delete req.headers[name];
    req.headers.host = host;
    req.headers['x-forwarded-proto'] = protocol.slice(0, -1);
    next();
  };
}

/** Headers for every answer; pages set stricter ones of their own. */
export function securityHeaders(issuer: string): RequestHandler {
  const protect = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      // oidc-provider adds the hash of its one inline script, which posts a form. Without form-action, since browsers
      // hold the whole redirect chain of a form to it.
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: [],
        frameAncestors: ["'none'"],
        baseUri: ["'none'"],
      },
    },
    frameguard: { action: 'deny' },
    referrerPolicy: { policy: 'no-referrer' },
    strictTransportSecurity: issuer.startsWith('https:') && { maxAge: 31_536_000 },
  });
  return (req, res, next) => {
    res.setHeader('X-Request-Id', requestIdOf(req));
    res.setHeader('Cache-Control', 'no-store');
    protect(req, res, next);
  };
}
