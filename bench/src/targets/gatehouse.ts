import { allUpstreamsAt, GatewayConfigSchema, startGateway } from '@gatehouse/gateway';
import { loadConfig } from '@gatehouse/service-kit';
import { runTarget } from '../target.ts';

// Everything on: hygiene, helmet, metrics, the access log, the denylist in Redis. run.ts sends the log to /dev/null.
await runTarget(async (setup) => {
  const config = loadConfig(GatewayConfigSchema, {
    PORT: '0',
    METRICS_PORT: '0',
    LOG_LEVEL: 'info',
    EXPLAIN: 'false',
    ISSUER: setup.issuer,
    JWKS_URI: setup.jwksUri,
    TOKEN_SIGNING_ALG: setup.alg,
    REDIS_URL: setup.redisUrl,
    ...(setup.tokenCacheSize && { TOKEN_CACHE_SIZE: String(setup.tokenCacheSize) }),
    ...allUpstreamsAt(setup.upstreamUrl),
  });
  const { listener } = await startGateway(config);
  return listener.port;
});
