import { createAuthenticate, createKeySet } from '@gatehouse/auth-middleware';
import { createRedisDenylistReader, type DenylistReader } from '@gatehouse/denylist';
import { z } from 'zod';
import {
  ConfigError,
  FlagSchema,
  loadConfig,
  ProcessConfigSchema,
  refineForProduction,
  UrlSchema,
} from './config.ts';
import { type Db, type EmbeddedDatabase, openDatabase } from './database.ts';
import { createHealth } from './health.ts';
import { type Listener, listen } from './listen.ts';
import { createLogger, type Logger } from './log.ts';
import { createMetrics, listenMetrics, type Metrics } from './metrics.ts';
import type { Route } from './route.ts';
import { type Closable, runProcess } from './run-process.ts';
import { createServiceApp } from './service-app.ts';

/** What every resource server reads from its environment. */
export const ServiceConfigSchema = ProcessConfigSchema.extend({
  JWKS_URI: UrlSchema,
  DATABASE_URL: z.string().optional(),
  REDIS_URL: z.string().optional(),
  DEMO: FlagSchema.default(false),
});
export type ServiceConfig = z.output<typeof ServiceConfigSchema>;

/** A resource server, as far as it differs from the others. */
export interface Service<Config extends ServiceConfig = ServiceConfig> {
  name: string;
  description: string;
  /** The audience of tokens made for this service alone, which it takes besides `urn:gatehouse:api`. */
  audience: string;
  config: z.ZodType<Config> & z.ZodObject;
  migrations: URL;
  /** Fills an empty database with demo data; runs at each start with DEMO=true, so it must be repeatable. */
  seed(db: Db): Promise<void>;
  routes(deps: { db: Db; config: Config }): readonly Route[];
}

/** What services in one process share; a service alone makes its own. */
export interface SharedParts {
  embedded: EmbeddedDatabase;
  denylist: DenylistReader;
  logger: Logger;
  metrics: Metrics;
}

export interface RunningService extends Closable {
  readonly listener: Listener;
}

const apiAudience = 'urn:gatehouse:api';

/** Builds a resource server from its configuration and serves it; what was opened is closed again if a step fails. */
export async function startService<Config extends ServiceConfig>(
  service: Service<Config>,
  config: Config,
  shared: Partial<SharedParts> = {},
): Promise<RunningService> {
  await using opening = new AsyncDisposableStack();
  const logger = shared.logger ?? createLogger({ name: service.name, level: config.LOG_LEVEL });
  const metrics = shared.metrics ?? createMetrics(service.name);

  const database = await openDatabase(
    config.DATABASE_URL
      ? { url: config.DATABASE_URL }
      : { embedded: required(shared.embedded, 'DATABASE_URL') },
    { name: service.name, migrations: service.migrations, logger },
  );
  opening.defer(() => database.close());
  if (config.DEMO) await service.seed(database.db);

  const keySet = createKeySet({ jwksUri: config.JWKS_URI });
  opening.defer(() => keySet.close());
  const denylist =
    shared.denylist ?? createRedisDenylistReader({ url: required(config.REDIS_URL, 'REDIS_URL') });
  if (!shared.denylist) opening.defer(() => denylist.close());
  const authenticate = createAuthenticate({
    issuer: config.ISSUER,
    audiences: [apiAudience, service.audience],
    keySet,
    denylist,
    onVerdict: metrics.countVerdict,
  });

  const health = createHealth(
    {
      database: database.ping,
      keys: () => keySet.load(),
      denylist: () => void denylist.isRevoked({ jti: '', sub: '', iat: 0 }),
    },
    logger,
  );
  const routes = service.routes({ db: database.db, config });
  const app = createServiceApp({
    ...service,
    issuer: config.ISSUER,
    routes,
    authenticate,
    health,
    logger,
    metrics,
  });
  if (config.METRICS_PORT !== undefined) {
    const metricsListener = await listenMetrics(metrics.registry, {
      host: config.HOST,
      port: config.METRICS_PORT,
    });
    opening.defer(() => metricsListener.close());
  }
  const listener = await listen(app, { host: config.HOST, port: config.PORT });
  opening.defer(() => listener.close());
  opening.defer(() => health.drain());
  logger.info({ port: listener.port }, 'listening');

  const running = opening.move();
  return { listener, close: () => running.disposeAsync() };
}

/** Runs a resource server as a process of its own. */
export function runService<Config extends ServiceConfig>(service: Service<Config>): void {
  runProcess(service.name, (env) => {
    const schema = refineForProduction(service.config.required({ DATABASE_URL: true, REDIS_URL: true }));
    return startService(service, loadConfig(schema, env) as unknown as Config);
  });
}

function required<Value>(value: Value | undefined, name: string): Value {
  if (value === undefined) throw new ConfigError([`${name}: is required`]);
  return value;
}
