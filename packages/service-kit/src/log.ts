import { DrizzleQueryError } from 'drizzle-orm';
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
    // One system call for many lines; pino writes what is left when the process exits.
    destination ?? pino.destination({ dest: 1, sync: false, minLength: 12_288, periodicFlush: 100 }),
  );
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
