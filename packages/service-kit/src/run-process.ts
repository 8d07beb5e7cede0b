import { ConfigError } from './config.ts';

export interface Closable {
  /** Comes before `close` when the process is to stop, and takes the time that it takes, unless `hurry` is aborted. */
  drain?(hurry: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const closeTimeoutMs = 10_000;

/**
 * Runs a process from its start to its exit code: 78 (EX_CONFIG) with one line a fault when the configuration is
 * wrong, 1 with one line when the start fails, 0 after SIGINT or SIGTERM once `drain` and `close` are done, 1 after a crash.
 * A SIGTERM that comes while it drains hurries it.
 * Where OTEL_EXPORTER_OTLP_ENDPOINT is set, OpenTelemetry's SDK starts before and ends after everything else.
 * @param name stands before each line
 */
export function runProcess(name: string, start: (env: NodeJS.ProcessEnv) => Promise<Closable>): void {
  // A turn later, so that a signal during the start finds its handler.
  const starting = Promise.resolve(process.env).then((env) => startTraced(name, env, start));
  const hurrying = new AbortController();
  let stopping = false;
  let exitCode = 0;

  const stop = async () => {
    if (stopping) return;
    stopping = true;
    let limit = limitStop();
    try {
      const running = await starting;
      clearTimeout(limit);
      await running.drain?.(hurrying.signal);
      limit = limitStop();
      await running.close();
    } catch (error) {
      exit(1, messageOf(error));
    }
    exit(exitCode);
  };

  const limitStop = () => setTimeout(() => exit(1, 'did not stop in time'), closeTimeoutMs).unref();

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
  process.on('SIGTERM', () => (stopping ? hurrying.abort() : stop()));
  // Ctrl-C under npm arrives twice: from the terminal, and from npm, which passes it on.
  process.on('SIGINT', stop);
  starting.catch((error) => {
    if (stopping) return;
    if (error instanceof ConfigError) exit(78, ...error.faults);
    else exit(1, messageOf(error));
  });
}

async function startTraced(
  name: string,
  env: NodeJS.ProcessEnv,
  start: (env: NodeJS.ProcessEnv) => Promise<Closable>,
): Promise<Closable> {
  if (!env.OTEL_EXPORTER_OTLP_ENDPOINT || env.OTEL_SDK_DISABLED === 'true') return start(env);
  // Whoever wants no spans pays nothing for them, not even the loading.
  const { startTracing } = await import('./start-tracing.ts');
  const tracing = await startTracing(name, env);
  const running = await start(env);
  return {
    drain: async (hurry) => running.drain?.(hurry),
    async close() {
      try {
        await running.close();
      } finally {
        await tracing.close();
      }
    },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
