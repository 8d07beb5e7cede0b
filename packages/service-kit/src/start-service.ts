import type { DenylistReader } from '@gatehouse/denylist';
import { z } from 'zod';
import {
  FlagSchema,
  isExplained,
  loadConfig,
  PostgresUrlSchema,
  ProcessConfigSchema,
  refineForProduction,
  UrlSchema,
} from './config.ts';
import { type Db, type EmbeddedDatabase, openDatabase } from './database.ts';
import { apiAudience, guardVariables, openGuard } from './guard.ts';
import { createHealth } from './health.ts';
import { createLogger, type Logger } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { repeat } from './repeat.ts';
import type { Route } from './route.ts';
import { runProcess } from './run-process.ts';
import { type RunningService, serve } from './serve.ts';
import { createServiceApp } from './service-app.ts';

/** What every resource server reads from its environment. */
export const ServiceConfigSchema = ProcessConfigSchema.extend({
  ...guardVariables,
  DATABASE_URL: PostgresUrlSchema.optional(),
  DEMO: FlagSchema.default(false),
});
export type ServiceConfig = z.output<typeof ServiceConfigSchema>;

/** The same for one that calls other services: besides, where and as whom it gets tokens for them. */
export const ClientConfigSchema = ServiceConfigSchema.extend({
  TOKEN_URL: UrlSchema,
  CLIENT_ID: z.string(),
  CLIENT_SECRET: z.string(),
});

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
  /** What every process of it does about once a second besides answering, by name. */
  tasks?(deps: { db: Db; config: Config }): Record<string, () => Promise<void>>;
}

/** The routes that a service declares, for whoever reads them and runs none. */
export function routesOf(service: Pick<Service, 'routes'>): readonly Route[] {
  // Nothing is asked of what a route stands on before a request comes.
  return service.routes({ db: {} as Db, config: {} as ServiceConfig });
}

/** What services in one process share; a service alone makes its own. */
export interface SharedParts {
  embedded: EmbeddedDatabase;
  denylist: DenylistReader;
  logger: Logger;
  metrics: Metrics;
}

// Processes that were started together do not meet each time.
const taskPauseMs = () => 500 + Math.random() * 1_000;

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
    { url: config.DATABASE_URL, embedded: shared.embedded },
    { name: service.name, migrations: service.migrations, logger },
  );
  opening.defer(() => database.close());
  if (config.DEMO) await service.seed(database.db);

  const guard = openGuard(
    {
      name: service.name,
      config,
      audiences: [apiAudience, service.audience],
      denylist: shared.denylist,
      logger,
      metrics,
    },
    opening,
  );
  const health = createHealth({ database: database.ping, ...guard.checks }, logger);
  const routes = service.routes({ db: database.db, config });
  for (const [name, task] of Object.entries(service.tasks?.({ db: database.db, config }) ?? {})) {
    const repeated = repeat(taskPauseMs, name, task, logger);
    opening.defer(() => repeated.stop());
  }
  const app = createServiceApp({
    ...service,
    issuer: config.ISSUER,
    explained: isExplained(config),
    routes,
    authenticate: guard.authenticate,
    health,
    logger,
    metrics,
  });
  return await serve(app, { config, health, metrics, logger }, opening);
}

/** Runs a resource server as a process of its own. */
export function runService<Config extends ServiceConfig>(service: Service<Config>): void {
  runProcess(service.name, (env) => {
    const schema = refineForProduction(service.config.required({ DATABASE_URL: true, REDIS_URL: true }));
    return startService(service, loadConfig(schema, env) as unknown as Config);
  });
}
