import type { RequestListener } from 'node:http';
import { explain, proofAlgorithms, requireScope } from '@gatehouse/auth-middleware';
import {
  compose,
  type Health,
  type Logger,
  type Metrics,
  notFound,
  problemHandler,
  requestContext,
} from '@gatehouse/service-kit/core';
import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import { clientAddressOf } from './client-address.ts';
import { crossOrigin } from './cross-origin.ts';
import type { ApiDocument } from './docs/api-document.ts';
import { createDocsRouter } from './docs/docs-router.ts';
import { createExplorerRouter } from './explorer-router.ts';
import { hygiene } from './hygiene.ts';
import { limitBody } from './limit-body.ts';
import type { RateLimits } from './limits.ts';
import { onlyGet } from './only-get.ts';
import type { UpstreamProxy } from './proxy.ts';
import { securityHeaders } from './security-headers.ts';
import { type ForwardedPath, forwardedPaths, rowOf, type UpstreamName } from './upstreams.ts';

interface GatewayDependencies {
  /** The public origin, which is also the issuer of every token unless the next one says otherwise. */
  issuer: string;
  /** Who issues them instead, where that is somebody else. */
  tokenIssuer: string;
  allowedHosts: readonly string[];
  allowedOrigins: readonly string[];
  /** Whether answers tell how they were decided. */
  explained: boolean;
  authenticate: RequestHandler;
  limits: RateLimits;
  maxBodyBytes: number;
  proxies: Record<UpstreamName, UpstreamProxy>;
  document: ApiDocument;
  health: Health;
  logger: Logger;
  metrics: Metrics;
}

interface Gateway {
  /** Takes every request; they must be of the app's own classes (messagesOf() in service-kit). */
  readonly entrance: RequestListener;
  /** Answers what is not forwarded. */
  readonly app: Express;
}

/** The gateway: this is the order of things that every request goes through. */
export function createGateway(deps: GatewayDependencies): Gateway {
  const app = createOwnApp(deps);
  // In front of Express, whose router would cost what is forwarded more than all of these checks.
  const steps = compose(
    requestContext({ ...deps, addressOf: clientAddressOf }),
    ...(deps.explained ? [explain('gateway')] : []),
    securityHeaders({ tls: deps.issuer.startsWith('https:') }),
    deps.limits.limitAddress,
    hygiene(deps),
    forwardRows(deps),
  );
  return {
    app,
    entrance(message, answer) {
      const [req, res] = [message as Request, answer as Response];
      req.originalUrl = req.url;
      steps(req, res, (error) => {
        res.locals.error = error;
        app(req, res);
      });
    },
  };
}

/** The routes of the gateway itself, and the one exit for every error. */
function createOwnApp(deps: GatewayDependencies): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').enable('case sensitive routing').set('query parser', false);

  app.use((_req, res, next) => {
    res.set(res.locals.headers);
    next(res.locals.error);
  });
  app.use('/health', deps.health.router);
  app.use(createDocsRouter(deps.document));
  app.use(createExplorerRouter());
  app
    .route(protectedResourcePath)
    .get(...crossOrigin(deps.allowedOrigins), protectedResource(deps))
    .all(onlyGet);
  app.use(notFound);
  app.use(problemHandler(deps.logger));
  return app;
}

/** Forwards what falls under a row of the routing table, and leaves the rest to the gateway's own routes. */
function forwardRows(deps: GatewayDependencies): RequestHandler {
  const handlers = new Map(forwardedPaths.map((row) => [row, forward(row, deps)]));
  return (req, res, next) => {
    const row = rowOf(req.url);
    const handler = row && handlers.get(row);
    if (handler) handler(req, res, next);
    else next();
  };
}

/** What a row of the routing table asks of a request, and then the upstream. */
function forward({ path, to, guard, scope }: ForwardedPath, deps: GatewayDependencies): RequestHandler {
  return compose(
    (_req, res, next) => {
      // Logged and measured by the row, whoever answers in the end.
      res.locals.route = path;
      next();
    },
    ...(guard === 'bearer'
      ? [...crossOrigin(deps.allowedOrigins), deps.authenticate, deps.limits.limitCaller]
      : []),
    ...(scope === undefined ? [] : [requireScope(scope)]),
    limitBody(deps.maxBodyBytes),
    deps.proxies[to].handler,
  );
}

/** Where clients find what protects the APIs (RFC 9728, 3). */
export const protectedResourcePath = '/.well-known/oauth-protected-resource';

/** RFC 9728: tells clients where tokens for the APIs behind this origin come from. */
function protectedResource({ issuer, tokenIssuer }: GatewayDependencies): RequestHandler {
  const metadata = {
    // Section 3.3 wants the URL that the metadata was found under, so it cannot be the audience urn.
    resource: issuer,
    resource_name: 'Gatehouse APIs',
    authorization_servers: [tokenIssuer],
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: proofAlgorithms,
  };
  return (_req, res) => {
    res.set('Cache-Control', 'public, max-age=3600').json(metadata);
  };
}
