import type { RequestListener } from 'node:http';
import { explain, proofAlgorithms, requireScope } from '@gatehouse/auth-middleware';
import type { SharedParts } from '@gatehouse/service-kit';
import {
  compose,
  counterIn,
  createHealth,
  createLogger,
  createMetrics,
  type Health,
  isExplained,
  type Logger,
  listen,
  type Metrics,
  notFound,
  openGuard,
  problemHandler,
  type RunningService,
  requestContext,
  serve,
  tlsFilesOf,
} from '@gatehouse/service-kit/core';
import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import { clientAddressOf, noteClientAddress } from './client-address.ts';
import { type GatewayConfig, upstreamUrlsOf } from './config.ts';
import { type CutReason, limitConnections } from './connections.ts';
import { crossOrigin, shareRefusals } from './cross-origin.ts';
import { type ApiDocument, createApiDocument } from './docs/api-document.ts';
import { createDocsRouter } from './docs/docs-router.ts';
import { createExplorerRouter } from './explorer-router.ts';
import { hygiene, refuseTunnels } from './hygiene.ts';
import { limitBody } from './limit-body.ts';
import { createRateLimits, type RateLimits } from './limits.ts';
import { onlyGet } from './only-get.ts';
import { createOverload } from './overload.ts';
import { createUpstreamProxy, type UpstreamProxy } from './proxy.ts';
import { redirectTo } from './redirect.ts';
import { securityHeaders } from './security-headers.ts';
import { type ForwardedPath, forwardedPaths, rowOf, type UpstreamName, upstreams } from './upstreams.ts';

export { admissionVariables, allUpstreamsAt, type GatewayConfig, GatewayConfigSchema } from './config.ts';

export interface GatewayDependencies {
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

export interface Gateway {
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

const apiAudience = 'urn:gatehouse:api';
const protectedResourcePath = '/.well-known/oauth-protected-resource';

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

/**
 * Builds the gateway from its configuration and serves it; it starts, not ready, even where nothing else runs yet.
 * @param shared what services in the same process have already; alone the gateway makes its own
 */
export async function startGateway(
  config: GatewayConfig,
  shared: Partial<Pick<SharedParts, 'denylist' | 'logger' | 'metrics'>> = {},
): Promise<RunningService> {
  await using opening = new AsyncDisposableStack();
  const tls = tlsFilesOf(config);
  const logger = shared.logger ?? createLogger({ name: 'gateway', level: config.LOG_LEVEL });
  const metrics = shared.metrics ?? createMetrics('gateway');

  const guard = openGuard(
    {
      name: 'gateway',
      config,
      audiences: [apiAudience],
      resourceMetadataUrl: `${config.ISSUER}${protectedResourcePath}`,
      denylist: shared.denylist,
      logger,
      metrics,
    },
    opening,
  );
  const health = createHealth(guard.checks, logger);
  const limits = createRateLimits(config, { logger, metrics });
  opening.defer(() => limits.close());

  const urls = upstreamUrlsOf(config);
  const document = createApiDocument({ issuer: config.ISSUER, urls }, logger);
  opening.defer(() => document.close());
  const proxies = createProxies(urls, { logger, metrics });
  for (const proxy of Object.values(proxies)) opening.defer(() => proxy.close());
  const { entrance, app } = createGateway({
    issuer: config.ISSUER,
    tokenIssuer: config.TOKEN_ISSUER ?? config.ISSUER,
    allowedHosts: config.ALLOWED_HOSTS,
    allowedOrigins: config.ALLOWED_ORIGINS,
    explained: isExplained(config),
    authenticate: guard.authenticate,
    limits,
    maxBodyBytes: config.MAX_BODY_BYTES,
    proxies,
    document,
    health,
    logger,
    metrics,
  });

  const overload = createOverload(
    {
      maxInFlight: config.MAX_IN_FLIGHT,
      maxWaiting: config.MAX_CONNECTIONS,
      maxWaitMs: config.MAX_WAIT_MS,
      maxLoopDelayMs: config.MAX_LOOP_DELAY_MS,
    },
    { isFull: (upstream) => proxies[upstream].isFull(), logger, metrics },
  );
  opening.defer(() => overload.close());
  const trusted = config.TRUSTED_PROXIES;
  const noteAddress = noteClientAddress(trusted);
  const share = shareRefusals(config.ALLOWED_ORIGINS);
  const guarded = overload.guard(entrance);
  const listener: RequestListener = (req, res) => {
    // A client that reset its connection before it was accepted has no address: it would be nobody, for every limit and log.
    if (req.socket.remoteAddress === undefined) return void req.socket.destroy();
    noteAddress(req);
    share(req, res);
    guarded(req, res);
  };

  const cuts = counterIn(metrics.registry, {
    name: 'connections_cut_total',
    help: 'Connections that were closed without an answer, by reason',
    labelNames: ['reason'],
  });
  const onCut = (reason: CutReason) => cuts.inc({ reason });
  const bounds = { most: config.MAX_CONNECTIONS, trusted, onCut };
  if (config.HTTP_REDIRECT_PORT !== undefined) {
    const address = { host: config.HOST, port: config.HTTP_REDIRECT_PORT };
    const answer = redirectTo(config.ISSUER);
    const redirect = await listen(answer, address);
    opening.defer(() => redirect.close());
    limitConnections(redirect.server, bounds);
    // Else node:http itself would ask for the body, which must not come this way.
    redirect.server.on('checkContinue', answer);
  }
  const running = await serve(
    app,
    { config, health, metrics, logger, tls, inFront: listener, maxHeadBytes: 16 * 1024 },
    opening,
  );
  refuseTunnels(running.listener.server, listener);
  limitConnections(running.listener.server, bounds);
  return running;
}

function createProxies(
  urls: Record<UpstreamName, string>,
  parts: { logger: Logger; metrics: Metrics },
): Record<UpstreamName, UpstreamProxy> {
  const names = Object.keys(upstreams) as UpstreamName[];
  return Object.fromEntries(
    names.map((name) => [name, createUpstreamProxy({ name, url: urls[name], ...upstreams[name] }, parts)]),
  ) as Record<UpstreamName, UpstreamProxy>;
}
