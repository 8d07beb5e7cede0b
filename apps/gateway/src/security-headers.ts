import type { RequestHandler } from 'express';
import helmet from 'helmet';

/**
 * Every answer carries helmet's headers, fit for an API that is never framed nor rendered. An upstream's own value of
 * one of them replaces ours: the sign-in pages bring the content security policy that they need.
 * @param tls whether clients reach the gateway by https
 */
export function securityHeaders({ tls }: { tls: boolean }): RequestHandler {
  const headers = new Map<string, string>();
  const recorder = {
    setHeader: (name: string, value: string) => headers.set(name, value),
    removeHeader: () => {},
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
  return (_req, res, next) => {
    res.setHeaders(headers);
    next();
  };
}
