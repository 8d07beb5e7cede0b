import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AuthConfigSchema, startAuth } from '@gatehouse/auth';
import {
  createMemoryDenylist,
  createRedisDenylistReader,
  createRedisDenylistWriter,
} from '@gatehouse/denylist';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { startGateway } from '@gatehouse/gateway';
import { items } from '@gatehouse/items';
import { orders } from '@gatehouse/orders';
import {
  type Closable,
  createLogger,
  createMetrics,
  type Logger,
  listen,
  listenMetrics,
  type RunningService,
  startService,
  tlsFilesOf,
} from '@gatehouse/service-kit';
import { users } from '@gatehouse/users';
import { type AllInOneConfig, portVariables, type ServiceName } from './config.ts';

export interface RunningSystem extends Closable {
  readonly issuer: string;
  /** Where each service listens. */
  readonly urls: Record<ServiceName, string>;
}

/** Starts every service in this process, each on a port of its own as if it were on a machine of its own. */
export async function startSystem(config: AllInOneConfig): Promise<RunningSystem> {
  await using opening = new AsyncDisposableStack();
  const tls = tlsFilesOf(config);
  await refuseBusyPorts(config);
  const embedded = config.DATABASE_URL ? undefined : await openEmbeddedPostgres(config.DATA_DIR);
  if (embedded) opening.defer(() => embedded.close());
  const rootLogger = createLogger({ level: config.LOG_LEVEL });
  const denylist = openDenylist(config.REDIS_URL, rootLogger);
  opening.defer(() => denylist.close());

  const { registry } = createMetrics('gateway');
  const partsOf = (service: ServiceName) => ({
    ...(embedded && { embedded }),
    denylist: denylist.reader,
    logger: rootLogger.child({ service }),
    metrics: createMetrics(service, registry),
  });
  const started = async (starting: Promise<RunningService>) => {
    const service = await starting;
    opening.defer(() => service.close());
    return service.listener.url;
  };

  const issuer = config.ISSUER ?? `${tls ? 'https' : 'http'}://localhost:${config.PORT}`;
  const base = { ...config, ISSUER: issuer, METRICS_PORT: undefined };
  const ordersSecret = config.ORDERS_CLIENT_SECRET ?? randomBytes(32).toString('base64url');
  const usersSecret = config.USERS_CLIENT_SECRET ?? randomBytes(32).toString('base64url');

  const auth = await started(
    startAuth(
      {
        ...base,
        PORT: config.AUTH_PORT,
        ENCRYPTION_KEY: config.ENCRYPTION_KEY ?? keptKey(config.DATA_DIR),
        ORDERS_CLIENT_SECRET: ordersSecret,
        USERS_CLIENT_SECRET: usersSecret,
      },
      { ...partsOf('auth'), denylist: denylist.writer },
    ),
  );
  const api = { ...base, JWKS_URI: `${auth}/.well-known/jwks.json` };
  const usersConfig = {
    ...api,
    PORT: config.USERS_PORT,
    ACCOUNTS_URL: auth,
    TOKEN_URL: `${auth}/token`,
    CLIENT_ID: 'users-service',
    CLIENT_SECRET: usersSecret,
  };
  const usersUrl = await started(startService(users, usersConfig, partsOf('users')));
  const itemsUrl = await started(startService(items, { ...api, PORT: config.ITEMS_PORT }, partsOf('items')));
  const ordersConfig = {
    ...api,
    PORT: config.ORDERS_PORT,
    ITEMS_URL: itemsUrl,
    TOKEN_URL: `${auth}/token`,
    CLIENT_ID: 'orders-service',
    CLIENT_SECRET: ordersSecret,
  };
  const ordersUrl = await started(startService(orders, ordersConfig, partsOf('orders')));
  const upstreams = { AUTH_URL: auth, USERS_URL: usersUrl, ITEMS_URL: itemsUrl, ORDERS_URL: ordersUrl };
  const gateway = await startGateway({ ...api, ...upstreams, ALLOWED_HOSTS: [] }, partsOf('gateway'));
  opening.defer(() => gateway.close());

  if (config.METRICS_PORT !== undefined) {
    const metricsListener = await listenMetrics(
      registry,
      { host: config.HOST, port: config.METRICS_PORT },
      rootLogger,
    );
    opening.defer(() => metricsListener.close());
  }
  await untilReady(gateway);
  const running = opening.move();
  return {
    issuer,
    urls: { gateway: gateway.listener.url, auth, users: usersUrl, items: itemsUrl, orders: ordersUrl },
    // What stands behind it drains when nothing comes from it any more.
    drain: (hurry) => gateway.drain(hurry),
    close: () => running.disposeAsync(),
  };
}

const readyTimeoutMs = 10_000;

// Whoever reads "ready" may paste the first command.
async function untilReady({ health }: RunningService): Promise<void> {
  for (const giveUpAt = performance.now() + readyTimeoutMs; ; await delay(50)) {
    const checks = await health.check();
    const failing = Object.keys(checks).filter((name) => checks[name] !== 'ok');
    if (failing.length === 0) return;
    if (performance.now() < giveUpAt) continue;
    throw new Error(`not ready after ${readyTimeoutMs / 1000} s: ${failing.join(', ')}`);
  }
}

// Opening the database takes seconds, and a busy port is better known before.
async function refuseBusyPorts(config: AllInOneConfig): Promise<void> {
  await using probes = new AsyncDisposableStack();
  for (const variable of portVariables) {
    const port = config[variable];
    if (port === undefined) continue;
    const probe = await listen(() => {}, { host: config.HOST, port }).catch((cause: Error) => {
      throw new Error(`${variable}: ${cause.message}`, { cause });
    });
    probes.defer(() => probe.close());
  }
}

function openDenylist(redisUrl: string | undefined, logger: Logger) {
  if (redisUrl === undefined) {
    const denylist = createMemoryDenylist();
    return { reader: denylist, writer: denylist, close: () => denylist.close() };
  }
  const reader = createRedisDenylistReader({
    url: redisUrl,
    onFault: (err) => logger.warn({ err }, 'the denylist cannot be read'),
    onRecovery: () => logger.info('the denylist is read again'),
  });
  const writer = createRedisDenylistWriter({ url: redisUrl });
  return { reader, writer, close: async () => void (await Promise.all([reader.close(), writer.close()])) };
}

// What the key encrypts lives as long as the data directory, and so must the key.
function keptKey(dataDirectory: string): string {
  const file = join(dataDirectory, 'encryption-key');
  if (!existsSync(file)) {
    mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
    // Renamed when whole, so that no start ever finds half a key.
    writeFileSync(`${file}.new`, randomBytes(32).toString('base64url'), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
  const key = AuthConfigSchema.shape.ENCRYPTION_KEY.safeParse(readFileSync(file, 'utf8').trim());
  if (!key.success)
    throw new Error(`${file} does not hold a key: restore it, or begin anew without ${dataDirectory}`);
  return key.data;
}
