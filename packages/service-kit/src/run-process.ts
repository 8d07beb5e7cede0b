import { ConfigError } from './config.ts';

export interface Closable {
  close(): Promise<void>;
}

const closeTimeoutMs = 10_000;

/**
 * Runs a process from its start to its exit code: 78 (EX_CONFIG) with one line a fault when the configuration is
 * wrong, 1 with one line when the start fails, 0 after SIGINT or SIGTERM once `close` is done, 1 after a crash.
 * @param name stands before each line
 */
export function runProcess(name: string, start: (env: NodeJS.ProcessEnv) => Promise<Closable>): void {
  // A turn later, so that a signal during the start finds its handler.
  const starting = Promise.resolve(process.env).then(start);
  let stopping = false;
  let exitCode = 0;

  const stop = async () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => exit(1, 'did not stop in time'), closeTimeoutMs).unref();
    try {
      await (await starting).close();
    } catch (error) {
      exit(1, messageOf(error));
    }
    exit(exitCode);
  };

  const exit = (code: number, ...lines: string[]) => {
    for (const line of lines) process.stderr.write(`${name}: ${line}\n`);
    process.exit(code);
  };

  const crash = (error: unknown) => {
    process.stderr.write(`${name}: ${error instanceof Error ? error.stack : String(error)}\n`);
    exitCode = 1;
    stop();
  };

  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  starting.catch((error) => {
    if (stopping) return;
    if (error instanceof ConfigError) exit(78, ...error.faults);
    else exit(1, messageOf(error));
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
