import type { RequestListener } from 'node:http';
import cors from 'cors';
import type { RequestHandler } from 'express';
import { rowOf } from './upstreams.ts';

const exposedHeaders = [
  'ETag',
  'Location',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'WWW-Authenticate',
  'X-Request-Id',
];

/**
 * Lets pages at these origins read what they are refused before a request comes so far as the next function: by an overload,
 * for their address, for its form. It decides nothing else.
 */
export function shareRefusals(origins: readonly string[]): RequestListener {
  if (origins.length === 0) return () => {};
  const allowed = new Set(origins);
  return ({ url = '', headers: { origin } }, res) => {
    if (origin === undefined || !allowed.has(origin) || rowOf(url)?.guard !== 'bearer') return;
    res.setHeader('Access-Control-Allow-Origin', origin);
    res.setHeader('Access-Control-Expose-Headers', exposedHeaders.join());
    res.setHeader('Vary', 'Origin');
  };
}

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
    exposedHeaders,
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
