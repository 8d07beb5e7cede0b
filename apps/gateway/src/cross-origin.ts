import cors from 'cors';
import type { RequestHandler } from 'express';

/**
 * Lets pages at these origins call the APIs with their tokens and read the answers (CORS; Fetch Standard, 3.2). Cookies are
 * never asked for. A preflight has no token, so it is answered before anybody asks for one.
 * @returns nothing where no origin is allowed
 */
export function crossOrigin(origins: readonly string[]): RequestHandler[] {
  if (origins.length === 0) return [];
  const share = cors({
    origin: [...origins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: [
      'Authorization',
      'DPoP',
      'Content-Type',
      'Idempotency-Key',
      'If-Match',
      'If-None-Match',
      'Last-Event-ID',
      'X-Request-Id',
      'traceparent',
      'tracestate',
    ],
    exposedHeaders: [
      'ETag',
      'Location',
      'RateLimit',
      'RateLimit-Policy',
      'Retry-After',
      'WWW-Authenticate',
      'X-Request-Id',
    ],
    // Chromium keeps it no longer.
    maxAge: 7_200,
  });
  return [
    (req, res, next) => {
      const { method, headers } = req;
      // The library takes all of them for preflights.
      const isOtherOptions = method === 'OPTIONS' && headers['access-control-request-method'] === undefined;
      if (isOtherOptions) return next();
      // It answers these by itself.
      if (method === 'OPTIONS') res.set(res.locals.headers);
      share(req, res, next);
    },
  ];
}
