import { DrizzleQueryError } from 'drizzle-orm/errors';

const connectionFaults = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EPIPE',
  'EHOSTUNREACH',
]);
// pg reports these without a code.
const connectionMessages =
  /^(timeout exceeded|Connection terminated|Query read timeout|Client has encountered)/i;
// PostgreSQL classes: 08 connection, 40 transaction to be tried again, 53 resources, 57 operator intervention (shutdown,
// time-out); 25006 read-only, as a replica is, 25P03 and 25P04 transaction time-outs, 55P03 lock time-out.
const unavailableSqlState = /^(08|40|53|57)...$|^(25006|25P0[34]|55P03)$/;

/** True when a row with these unique values is there already. */
export function isDuplicate(thrown: unknown): boolean {
  return (causeOf(thrown) as NodeJS.ErrnoException | undefined)?.code === '23505';
}

/** True when the database could not be asked, or not do it now, which is no fault of the request. */
export function isDatabaseUnavailable(thrown: unknown): boolean {
  const error = causeOf(thrown);
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.some(isDatabaseUnavailable);
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return (
    connectionFaults.has(code) || unavailableSqlState.test(code) || connectionMessages.test(error.message)
  );
}

function causeOf(thrown: unknown): unknown {
  return thrown instanceof DrizzleQueryError ? thrown.cause : thrown;
}
