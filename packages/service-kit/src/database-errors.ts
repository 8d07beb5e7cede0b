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
// Class 28, a role or a password that it does not take; 3D000, a database that it does not have.
const refusedSqlState = /^28...$|^3D000$/;

/** True when a row with these unique values is there already. */
export function isDuplicate(thrown: unknown): boolean {
  return codeOf(causeOf(thrown)) === '23505';
}

/** True when the database could not be asked, or not do it now, which is no fault of the request. */
export function isDatabaseUnavailable(thrown: unknown): boolean {
  const error = causeOf(thrown);
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.some(isDatabaseUnavailable);
  const code = codeOf(error);
  return (
    connectionFaults.has(code) ||
    unavailableSqlState.test(code) ||
    refusedSqlState.test(code) ||
    connectionMessages.test(error.message)
  );
}

/** True when the server is there and lets nobody in with these settings, which waiting does not mend. */
export function isDatabaseRefusal(thrown: unknown): boolean {
  return refusedSqlState.test(codeOf(causeOf(thrown)));
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? '';
}

function causeOf(thrown: unknown): unknown {
  return thrown instanceof DrizzleQueryError ? thrown.cause : thrown;
}
