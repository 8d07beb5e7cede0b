import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, existsSync, globSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { Client } from 'pg';
import { freePort } from './free-port.ts';

/** A running server. What can be done to it works on a server started here, never on one that was given. */
export interface RealServer {
  url: string;
  /** Asks the server to end; resolves once its port is free. */
  stop(): Promise<void>;
  /** SIGKILL to the server and its children. */
  kill(): Promise<void>;
  /** Freezes the server: connections stay open and nothing answers (SIGSTOP). */
  pause(): void;
  resume(): void;
  /** Starts it again on the same port and the same data directory, after stop(), kill() or at any time. */
  restart(): Promise<void>;
}

/** `own` asks for a server of one's own even where an address was given: for tests that stop or freeze it. */
export interface ServerOptions {
  own?: boolean;
  /** More command line arguments of the server. */
  args?: readonly string[];
}

type Kind = 'redis' | 'postgres' | 'haproxy' | 'promtool';
const given: Partial<Record<Kind, string>> = { redis: 'REDIS_URL', postgres: 'DATABASE_URL' };
const program: Record<Kind, string> = {
  redis: 'redis-server',
  postgres: 'postgres',
  haproxy: 'haproxy',
  promtool: 'promtool',
};

/**
 * Test options that skip, with the reason, where no such server is to be had.
 * Under CI=true nothing is skipped: the test then fails when it starts the server.
 */
export function realServer(kind: Kind, { own = false }: ServerOptions = {}): { skip: string | false } {
  const isGiven = process.env[given[kind] ?? ''] && !own;
  const missing = !isGiven && !findProgram(program[kind]);
  return { skip: missing && process.env.CI !== 'true' && `${program[kind]} is not installed` };
}

/**
 * A Redis without persistence (so a restart is empty, unless `args` ask for more) on a free port, or the one
 * at REDIS_URL. With a test context it ends with the test.
 */
export async function startRedis(
  t?: TestContext,
  { own, args = [] }: ServerOptions = {},
): Promise<RealServer> {
  if (process.env.REDIS_URL && !own) return givenServer(process.env.REDIS_URL);
  const file = requireProgram('redis');
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-redis-'));
  const port = await freePort();
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory];
  const server = await start(
    file,
    [...flags, '--save', '', '--appendonly', 'no', ...args],
    directory,
    'SIGTERM',
  );
  t?.after(server.stop);
  return { url: `redis://127.0.0.1:${port}`, ...server };
}

/** A sentinel on a free port that watches a primary with its replicas, under the name `main`; two of them may replace it. */
export async function startSentinel(t: TestContext, primary: RealServer): Promise<RealServer> {
  const file = requireProgram('redis');
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-sentinel-'));
  const port = await freePort();
  writeFileSync(
    join(directory, 'sentinel.conf'),
    `port ${port}
bind 127.0.0.1
dir ${directory}
sentinel monitor main 127.0.0.1 ${new URL(primary.url).port} 2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 3000
`,
  );
  const server = await start(file, ['sentinel.conf', '--sentinel'], directory, 'SIGTERM');
  t.after(server.stop);
  return { url: `redis://127.0.0.1:${port}`, ...server };
}

/**
 * An empty database: of a Postgres started on a free port, or a new one on the server at DATABASE_URL, dropped
 * again at the end of the test. With a test context it ends with the test.
 */
export async function startPostgres(
  t?: TestContext,
  { own, args = [] }: ServerOptions = {},
): Promise<RealServer> {
  if (process.env.DATABASE_URL && !own) return newDatabase(process.env.DATABASE_URL, t);
  const file = requireProgram('postgres');
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-postgres-'));
  const user = ordinaryUser();
  if (user) chownSync(directory, user.uid, user.gid);
  const data = join(directory, 'data');
  const initdb = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
  execFileSync(join(dirname(file), 'initdb'), initdb, { ...user, cwd: directory, stdio: 'ignore' });
  const port = await freePort();
  const flags = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', '', '-F'];
  // SIGINT is Postgres' fast shutdown: it does not wait for clients to leave.
  const server = await start(file, [...flags, ...args], directory, 'SIGINT', user);
  t?.after(server.stop);
  return { url: `postgres://postgres@127.0.0.1:${port}/postgres`, ...server };
}

/** An HAProxy as its configuration says, whose variables are in `env`; it ends with the test. */
export async function startHaproxy(
  t: TestContext,
  { file, env }: { file: string; env: Readonly<Record<string, string>> },
): Promise<Omit<RealServer, 'url'>> {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-haproxy-'));
  const args = ['-db', '-V', '-f', file];
  const server = await start(requireProgram('haproxy'), args, directory, 'SIGTERM', { env });
  t.after(server.stop);
  return server;
}

async function start(
  file: string,
  args: string[],
  directory: string,
  stopSignal: NodeJS.Signals,
  options: { uid?: number; gid?: number; env?: Readonly<Record<string, string>> } = {},
): Promise<Omit<RealServer, 'url'>> {
  const endWithUs = watch(directory);
  let child = await launch();
  const signal = (name: NodeJS.Signals) => {
    for (const pid of [...childrenOf(child), child.pid]) if (pid) trySignal(pid, name);
  };
  const end = async (name: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    // Else a process that has nothing else to do would not wait for it.
    child.ref();
    signal('SIGCONT');
    if (name === 'SIGKILL') signal(name);
    else child.kill(name);
    await exited;
    endWithUs(undefined);
  };
  const stop = () => end(stopSignal);
  return {
    stop,
    kill: () => end('SIGKILL'),
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    async restart() {
      await stop();
      child = await launch();
    },
  };

  async function launch(): Promise<ChildProcess> {
    const launched = spawn(file, args, { ...options, cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    endWithUs(launched.pid);
    let log = '';
    await new Promise<void>((resolve, reject) => {
      const fail = () => reject(new Error(`${file} did not start:\n${log}`));
      const timer = setTimeout(fail, 20_000);
      launched.once('error', fail).once('exit', fail);
      const read = (chunk: Buffer) => {
        log = (log + chunk).slice(-4000);
        if (!/ready to accept connections|polling mechanism|\+monitor master/i.test(log)) return;
        clearTimeout(timer);
        launched.off('exit', fail);
        resolve();
      };
      launched.stdout.on('data', read);
      launched.stderr.on('data', read);
    });
    launched.unref();
    unref(launched.stdout);
    unref(launched.stderr);
    return launched;
  }
}

/**
 * Ends the server and removes its directory once this process is gone, however it went: the pipe closes then.
 * The function returned names the process to end, if any.
 */
function watch(directory: string): (pid: number | undefined) => void {
  const script = 'while read -r line; do pid=$line; done; [ -n "$pid" ] && kill -9 "$pid"; rm -rf "$0"';
  const watcher = spawn('sh', ['-c', script, directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watcher.unref();
  unref(watcher.stdin);
  return (pid) => watcher.stdin.write(`${pid ?? ''}\n`);
}

/** Pipes to a child keep a process alive although their type does not say so. */
function unref(pipe: object): void {
  (pipe as { unref?(): void }).unref?.();
}

// Postgres answers from child processes in sessions of their own, so a signal to the group would miss them.
function childrenOf({ pid }: ChildProcess): number[] {
  const list = `/proc/${pid}/task/${pid}/children`;
  return existsSync(list) ? readFileSync(list, 'utf8').split(' ').filter(Boolean).map(Number) : [];
}

function trySignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}

function givenServer(url: string): RealServer {
  const refuse = () => {
    throw new Error('a given server cannot be stopped: start one with { own: true }');
  };
  return { url, stop: async () => {}, kill: refuse, pause: refuse, resume: refuse, restart: refuse };
}

async function newDatabase(serverUrl: string, t: TestContext | undefined): Promise<RealServer> {
  const name = `gatehouse_test_${randomUUID().replaceAll('-', '')}`;
  await query(`create database ${name}`);
  const stop = () => query(`drop database if exists ${name} with (force)`);
  t?.after(stop);
  const url = new URL(serverUrl);
  url.pathname = name;
  return { ...givenServer(url.href), stop };

  async function query(sql: string): Promise<void> {
    const client = new Client({ connectionString: serverUrl, connectionTimeoutMillis: 5000 });
    await client.connect();
    await client.query(sql).finally(() => client.end());
  }
}

function requireProgram(kind: Kind): string {
  const file = findProgram(program[kind]);
  if (!file) throw new Error(`${program[kind]} is not installed`);
  return file;
}

function findProgram(name: string): string | undefined {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, name));
  // Debian keeps the servers of Postgres off the PATH.
  return [...onPath, ...globSync(`/usr/lib/postgresql/*/bin/${name}`)].find(existsSync);
}

/** Postgres refuses to run as root: then it runs as the user `postgres` of this machine. */
function ordinaryUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
