import { requestIdOf } from '@gatehouse/service-kit/core';
import type { RequestHandler } from 'express';
import helmet from 'helmet';

/**
 * Every answer carries helmet's headers, fit for an API that is never framed nor rendered, and the id of its request. They
 * begin `res.locals.headers`, what every answer has from the gateway: names in lower case, written together with the
 * upstream's or by the app, as it costs more to set each on its way. An upstream's own value of one of helmet's replaces
 * ours: the sign-in pages bring the content security policy that they need.
 * @param tls whether clients reach the gateway by https
 */
export function securityHeaders({ tls }: { tls: boolean }): RequestHandler {
  const headers: Record<string, string> = {};
  const recorder = {
    setHeader(name: string, value: string) {
      headers[name.toLowerCase()] = value;
    },
    removeHeader() {},
  };
  // The headers never differ between requests, so helmet runs once and its answer is kept.
  helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    strictTransportSecurity: tls,
    xFrameOptions: { action: 'deny' },
    // These steer how a browser renders a page; the pages come with their own.
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  })({} as never, recorder as never, () => {});
  return (req, res, next) => {
    res.locals.headers = { ...headers, 'x-request-id': requestIdOf(req) };
    next();
  };
}
