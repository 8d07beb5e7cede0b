import type { RequestListener } from 'node:http';
import type { SharedParts } from '@gatehouse/service-kit';
import {
  apiAudience,
  counterIn,
  createHealth,
  createLogger,
  createMetrics,
  isExplained,
  type Logger,
  listen,
  type Metrics,
  openGuard,
  type RunningService,
  serve,
  tlsFilesOf,
} from '@gatehouse/service-kit/core';
import { createGateway, protectedResourcePath } from './app.ts';
import { noteClientAddress } from './client-address.ts';
import { type GatewayConfig, upstreamUrlsOf } from './config.ts';
import { type CutReason, limitConnections } from './connections.ts';
import { shareRefusals } from './cross-origin.ts';
import { createApiDocument } from './docs/api-document.ts';
import { askForBodies, refuseTunnels } from './hygiene.ts';
import { createRateLimits } from './limits.ts';
import { createOverload } from './overload.ts';
import { createUpstreamProxy, type UpstreamProxy } from './proxy.ts';
import { redirectTo } from './redirect.ts';
import { type UpstreamName, upstreams } from './upstreams.ts';

export { admissionVariables, allUpstreamsAt, GatewayConfigSchema } from './config.ts';

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
  refuseTunnels(running.listener.server);
  askForBodies(running.listener.server);
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
