import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';

/** A process under test, or what one stands on, with the port that it listens to. */
export interface Child {
  child: ChildProcess;
  port: number;
}

/** Starts a file of this folder that calls runTarget. */
export async function startChild(
  file: string,
  setup?: unknown,
  nodeOptions: readonly string[] = [],
): Promise<Child> {
  const child = fork(new URL(file, import.meta.url), setup ? [JSON.stringify(setup)] : [], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // As every service of ours is started: without it, loading leaves a hundred megabytes behind.
    execArgv: [...nodeOptions, '--import', import.meta.resolve('@gatehouse/service-kit/quick-imports')],
  });
  const exited = once(child, 'exit').then(() => {
    throw new Error(`${file} did not start`);
  });
  const [{ port }] = (await Promise.race([once(child, 'message'), exited])) as [{ port: number }];
  exited.catch(() => {});
  return { child, port };
}

/** A process that sends requests. */
export interface Load<Order, Answer> {
  readonly child: ChildProcess;
  /** Carries out an order; the last one must have ended. */
  send(order: Order): Promise<Answer>;
  stop(): void;
}

/** Starts a file of this folder that carries out orders; where it fails, this process does too. */
export function startLoad<Order extends object, Answer = unknown>(file: string): Load<Order, Answer> {
  const child = fork(new URL(file, import.meta.url), { serialization: 'advanced' });
  const fail = () => process.exit(1);
  child.once('exit', fail);
  return {
    child,
    async send(order) {
      child.send(order);
      const [answer] = await once(child, 'message');
      return answer as Answer;
    },
    stop() {
      child.off('exit', fail).kill();
    },
  };
}

/** Bytes of memory that a process takes up. */
export function residentBytes({ pid }: ChildProcess): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kilobytes) * 1024;
}

/** How many files and connections a process has open. */
export function openDescriptors({ pid }: ChildProcess): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** User and system time of all threads of a process; Linux counts it in hundredths of a second. */
export function cpuMicroseconds({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}
