import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort, type RealServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { freePorts } from '../system.ts';

const root = new URL('../../..', import.meta.url).pathname;
const readyWithinMs = 60_000;

/** One process of the system, at an address that it keeps. */
export interface Member {
  readonly url: string;
  signal(signal: NodeJS.Signals): void;
  /** Starts it again without waiting for anything. */
  launch(): void;
  untilReady(): Promise<void>;
  /** Starts it again and waits until it is ready. */
  start(): Promise<void>;
  /** Asks it to end, waits for its exit code 0, and starts it again. */
  restart(): Promise<void>;
}

/** The system as it runs in production: a process for each service, a PostgreSQL and a Redis. */
export interface Processes extends AsyncDisposable {
  readonly issuer: string;
  readonly redis: RealServer;
  readonly members: Record<'gateway' | 'auth' | 'users' | 'items' | 'orders', Member>;
  /** Starts auth once more, beside the one that there is; the gateway does not know of it. */
  startAnotherAuth(): Promise<Member>;
  /** What the command line for signing keys writes. */
  keys(...command: string[]): Promise<string>;
}

/** Starts every process and waits until all are ready. */
export async function startProcesses(): Promise<Processes> {
  await using opening = new AsyncDisposableStack();
  const postgres = await startPostgres(undefined, { own: true });
  opening.defer(() => postgres.stop());
  const redis = await startRedis(undefined, { own: true, args: ['--enable-debug-command', 'local'] });
  opening.defer(() => redis.stop());
  const ports = await freePorts();
  const at = (port: number) => `http://127.0.0.1:${port}`;
  const issuer = `http://localhost:${ports.PORT}`;
  const auth = at(ports.AUTH_PORT);
  const secret = () => randomBytes(32).toString('base64url');
  const [ordersSecret, usersSecret] = [secret(), secret()];
  const common = {
    ISSUER: issuer,
    REDIS_URL: redis.url,
    JWKS_URI: `${auth}/.well-known/jwks.json`,
    LOG_LEVEL: 'silent',
  };
  const service = { ...common, DATABASE_URL: postgres.url, DEMO: 'true' };
  const environments = {
    auth: {
      ...service,
      ALLOW_PASSWORD_GRANT: 'true',
      ENCRYPTION_KEY: secret(),
      // Just above the minute in which every process fetches the keys again.
      KEY_PUBLISH_SECONDS: '70',
      ORDERS_CLIENT_SECRET: ordersSecret,
      USERS_CLIENT_SECRET: usersSecret,
    },
    users: { ...service, ACCOUNTS_URL: auth, TOKEN_URL: `${auth}/token`, CLIENT_SECRET: usersSecret },
    items: service,
    orders: {
      ...service,
      ITEMS_URL: at(ports.ITEMS_PORT),
      TOKEN_URL: `${auth}/token`,
      CLIENT_SECRET: ordersSecret,
    },
    gateway: {
      ...common,
      AUTH_URL: auth,
      USERS_URL: at(ports.USERS_PORT),
      ITEMS_URL: at(ports.ITEMS_PORT),
      ORDERS_URL: at(ports.ORDERS_PORT),
      DRAIN_DELAY_SECONDS: '1',
      ALLOWED_HOSTS: `127.0.0.1:${ports.PORT}`,
    },
  };
  const portOf = {
    auth: ports.AUTH_PORT,
    users: ports.USERS_PORT,
    items: ports.ITEMS_PORT,
    orders: ports.ORDERS_PORT,
    gateway: ports.PORT,
  };
  const started: Partial<Processes['members']> = {};
  // Auth first: the others are ready once they have had its keys.
  for (const name of ['auth', 'users', 'items', 'orders', 'gateway'] as const) {
    started[name] = await startMember(name, portOf[name], environments[name], opening);
  }
  const opened = opening.move();
  return {
    issuer,
    redis,
    members: started as Processes['members'],
    startAnotherAuth: async () => startMember('auth', await freePort(), environments.auth, opened),
    async keys(...command) {
      const file = `${root}/apps/auth/src/keys-cli.ts`;
      const { stdout } = await promisify(execFile)(process.execPath, [file, ...command], {
        env: environments.auth,
      });
      return stdout;
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function startMember(
  name: string,
  port: number,
  env: Record<string, string>,
  opening: AsyncDisposableStack,
): Promise<Member> {
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  const member: Member = {
    url,
    signal: (signal) => void child?.kill(signal),
    launch() {
      child = spawn(process.execPath, [`${root}/apps/${name}/src/main.ts`], {
        env: { ...env, PORT: String(port) },
        stdio: ['ignore', 'ignore', 'inherit'],
      });
    },
    async untilReady() {
      for (const giveUpAt = Date.now() + readyWithinMs; !(await isReady(url)); await delay(20)) {
        if (child?.exitCode !== null || Date.now() > giveUpAt) throw new Error(`${name} does not start`);
      }
    },
    async start() {
      member.launch();
      await member.untilReady();
    },
    async restart() {
      const exited = once(child as ChildProcess, 'exit');
      member.signal('SIGTERM');
      const [code] = await exited;
      if (code !== 0) throw new Error(`${name} ended with ${code}`);
      await member.start();
    },
  };
  opening.defer(() => member.signal('SIGKILL'));
  await member.start();
  return member;
}

/** Whether the process at the address says that it is ready. */
export function isReady(url: string): Promise<boolean> {
  return isWell(`${url}/health/ready`);
}

/** Whether it answers at all. */
export function isLive(url: string): Promise<boolean> {
  return isWell(`${url}/health/live`);
}

async function isWell(url: string): Promise<boolean> {
  const signal = AbortSignal.timeout(2_000);
  const answer = await fetch(url, { signal }).catch(() => undefined);
  await answer?.body?.cancel();
  return answer?.ok === true;
}
