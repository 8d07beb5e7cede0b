import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** A process under test, or what one stands on, with the port that it listens to. */
export interface Child {
  child: ChildProcess;
  port: number;
}

/** Starts a file of this folder that calls runTarget. */
export async function startChild(file: string, setup?: unknown): Promise<Child> {
  const child = fork(new URL(file, import.meta.url), setup ? [JSON.stringify(setup)] : [], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit').then(() => {
    throw new Error(`${file} did not start`);
  });
  const [{ port }] = (await Promise.race([once(child, 'message'), exited])) as [{ port: number }];
  exited.catch(() => {});
  return { child, port };
}

/** User and system time of all threads of a process; Linux counts it in hundredths of a second. */
export function cpuMicroseconds({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}
