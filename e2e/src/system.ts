import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '@gatehouse/test-kit';

const portVariables = ['PORT', 'AUTH_PORT', 'USERS_PORT', 'ITEMS_PORT', 'ORDERS_PORT'] as const;

/** The ports of the system, as its variables name them. */
export type Ports = Record<(typeof portVariables)[number], number>;

/** `npm start` as a child process. */
export interface StartedProcess {
  /** Everything that it has written so far, to standard output and standard error alike. */
  output(): string;
  /** Resolves once it and everything it started are gone. */
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** To npm alone, as a supervisor sends it, or to the whole group, as a terminal does on Ctrl-C. */
  signal(signal: NodeJS.Signals, to: 'npm' | 'group'): void;
}

/** A system that is ready. */
export interface System extends StartedProcess {
  /**
   * Ends it with SIGTERM.
   * @throws Error when it does not exit with 0 in time
   */
  stop(): Promise<void>;
}

// Where the certificates are, when run-tls.ts began this run. The system is not told to trust their authority: nothing in it
// may have to fetch from the public origin.
const { TLS_DIRECTORY } = process.env;
const tlsVariables = TLS_DIRECTORY && {
  TLS_CERT_FILE: join(TLS_DIRECTORY, 'gateway/certificate.pem'),
  TLS_KEY_FILE: join(TLS_DIRECTORY, 'gateway/key.pem'),
};
const root = new URL('../..', import.meta.url).pathname;
const readyWithinMs = 60_000;
// A start that fails may fail late, on a slow machine.
const exitWithinMs = 60_000;
const stopWithinMs = 15_000;
const running = new Set<ChildProcess>();

// Whatever ends this process, nothing that it started stays.
process.on('exit', () => {
  for (const child of running) killGroup(child);
});

/** Runs the root's `npm start` with these variables and no others of ours, so that each run is the same. */
export function startProcess(variables: Record<string, string | number>): StartedProcess {
  const { PATH = '', HOME = '' } = process.env;
  const own = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, String(value)]));
  const child = spawn('npm', ['start'], {
    cwd: root,
    env: { PATH, HOME, ...own },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  // "close" and not "exit": npm may be gone while the process that it started still holds our pipes.
  const exit = once(child, 'close').then(([code, signal]) => {
    running.delete(child);
    return { code, signal };
  });
  return {
    output: () => output,
    exit,
    signal(signal, to) {
      const { pid } = child;
      if (pid !== undefined) process.kill(to === 'group' ? -pid : pid, signal);
    },
  };
}

/**
 * Starts the system on ports of its own and waits until its gateway is ready.
 * @param dataDirectory what it keeps stays there
 */
export async function startSystem(
  dataDirectory: string,
  ports: Ports,
  variables: Record<string, string> = {},
): Promise<System> {
  const started = startProcess({ DATA_DIR: dataDirectory, ...tlsVariables, ...ports, ...variables });
  const gone = started.exit.then(({ code }) => {
    throw new Error(`npm start ended with ${code} before it was ready:\n${lastLines(started.output())}`);
  });
  gone.catch(() => {});
  await Promise.race([gone, untilReady(addressesOf(ports).BASE_URL, started)]);
  return {
    ...started,
    async stop() {
      started.signal('SIGTERM', 'npm');
      await assertExit(started, 0, stopWithinMs);
    },
  };
}

/** The process ends in time, and with this code; else it is killed and the end of its output told. */
export async function assertExit(
  started: StartedProcess,
  expected: number,
  withinMs = exitWithinMs,
): Promise<void> {
  const timer = setTimeout(() => started.signal('SIGKILL', 'group'), withinMs);
  const { code, signal } = await started.exit;
  clearTimeout(timer);
  if (code !== expected) {
    throw new Error(
      `npm start ended with ${code ?? signal}, not ${expected}:\n${lastLines(started.output())}`,
    );
  }
}

async function untilReady(url: string, { output }: StartedProcess): Promise<void> {
  const deadline = Date.now() + readyWithinMs;
  while (Date.now() < deadline) {
    const answer = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) }).catch(
      () => undefined,
    );
    if (answer?.ok) return;
    await sleep(100);
  }
  throw new Error(`npm start was not ready within ${readyWithinMs} ms:\n${lastLines(output())}`);
}

/** Where a system on these ports is, as the variables that the flows read. */
export function addressesOf(ports: Ports) {
  const at = (port: number) => `http://localhost:${port}`;
  return {
    BASE_URL: TLS_DIRECTORY ? at(ports.PORT).replace('http:', 'https:') : at(ports.PORT),
    USERS_URL: at(ports.USERS_PORT),
    ITEMS_URL: at(ports.ITEMS_PORT),
    ORDERS_URL: at(ports.ORDERS_PORT),
  };
}

/** Ports that nobody listens on. */
export async function freePorts(): Promise<Ports> {
  const ports = await Promise.all(portVariables.map(async (name) => [name, await freePort()] as const));
  return Object.fromEntries(ports) as Ports;
}

/** A directory that is gone when it is disposed of, or when this process ends. */
export function temporaryDirectory(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'gatehouse-e2e-'));
  const remove = () => rmSync(path, { recursive: true, force: true, maxRetries: 5 });
  process.once('exit', remove);
  return { path, [Symbol.dispose]: remove };
}

/** The end of a text. */
export function lastLines(text: string, count = 50): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It was gone already.
  }
}
