import { DrizzleQueryError } from 'drizzle-orm/errors';
import { type DestinationStream, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

const secretNames = [
  'authorization',
  'cookie',
  'password',
  'secret',
  'token',
  'code',
  'client_secret',
  'access_token',
  'refresh_token',
  'id_token',
  'code_verifier',
];

/**
 * A JSON logger on standard output that blanks fields known to hold secrets.
 * @param name the service that each line names; children of a logger without one may name theirs
 * @param destination where the lines go instead, for tests and for processes that print something else
 */
export function createLogger(
  { name, level }: { name?: string; level: string },
  destination?: DestinationStream,
): Logger {
  return pino(
    {
      level,
      base: name === undefined ? {} : { service: name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretNames.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
      serializers: { err: describeError },
    },
    destination ?? openLogOutput(1),
  );
}

/** Makes what writes a line for each request, at level info, to where `logger` writes; nothing in it is redacted. */
export function openAccessLog(logger: Logger): (fields: Record<string, unknown>) => void {
  // pino makes a line of many small strings, and every request would pay for that.
  const output = (logger as unknown as { [pino.symbols.streamSym]: DestinationStream })[
    pino.symbols.streamSym
  ];
  const bindings = JSON.stringify({ ...logger.bindings(), msg: 'request' }).slice(1, -1);
  return (fields) => {
    if (!logger.isLevelEnabled('info')) return;
    const time = new Date().toISOString();
    output.write(`{"level":"info","time":"${time}",${bindings},${JSON.stringify(fields).slice(1)}\n`);
  };
}

const mostHeldBytes = 4 * 1024 * 1024;
const tellEveryMs = 1_000;

/**
 * Where log lines go: nobody waits for them, and where they cannot be written (a full disk, a reader that has stopped) up
 * to 4 MiB are held and the rest is lost. Standard error is told of the first write that fails, and of what was lost once
 * lines are written again, at most once a second.
 * @param fd a file descriptor that is open
 */
export function openLogOutput(fd: number): ReturnType<typeof pino.destination> {
  // One system call for many lines; pino writes what is left when the process exits.
  const output = pino.destination({
    dest: fd,
    sync: false,
    minLength: 12_288,
    periodicFlush: 100,
    maxLength: mostHeldBytes,
    contentMode: 'buffer',
  });
  const write = output.write.bind(output) as unknown as (line: Buffer) => boolean;
  // Held as text, all lines would be copied and counted once more with each one that comes.
  output.write = (line: string) => write(Buffer.from(line));
  let isFailing = false;
  let lost = 0;
  // Of what was told: a disk that is full now and then, or a slow reader, would be told of with each write.
  let isToldToFail = false;
  let untold = 0;
  let toldAt = Number.NEGATIVE_INFINITY;
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (!isToldToFail) process.stderr.write(`the log cannot be written: ${error.code}\n`);
    isFailing = isToldToFail = true;
  });
  output.on('drop', () => {
    lost += 1;
  });
  output.on('write', () => {
    isFailing = false;
    untold += lost;
    lost = 0;
    if ((!isToldToFail && untold === 0) || performance.now() - toldAt < tellEveryMs) return;
    process.stderr.write(`the log is written again, without ${untold} lines\n`);
    isToldToFail = false;
    untold = 0;
    toldAt = performance.now();
  });
  const flushSync = output.flushSync.bind(output);
  // It tries for ever, and so a process could not exit.
  output.flushSync = () => {
    if (!isFailing && lost === 0) flushSync();
  };
  return output;
}

// An error as an object drags its own properties into the log: query parameters, request bodies, headers.
function describeError(thrown: unknown): object {
  const error = thrown instanceof DrizzleQueryError ? thrown.cause : thrown;
  if (!(error instanceof Error)) return { message: 'a value that is no Error was thrown' };
  const { code } = error as NodeJS.ErrnoException;
  return {
    type: error.name,
    ...(code !== undefined && { errorCode: code }),
    message: error.message,
    stack: error.stack,
    ...(error.cause instanceof Error && { cause: describeError(error.cause) }),
  };
}
