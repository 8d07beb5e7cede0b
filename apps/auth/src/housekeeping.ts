import { type Db, type Logger, type Repeated, repeat } from '@gatehouse/service-kit';
import { lt, type SQL, sql } from 'drizzle-orm';
import type { PgTable } from 'drizzle-orm/pg-core';
import { lifetimes } from './protocol/scopes.ts';
import { auditEvents, codeGuesses, deviceCodes, logoutDeliveries, records, revocations } from './schema.ts';

interface HousekeepingOptions {
  auditRetentionDays: number;
}

/** How much one pass deletes of each kind at the most, so that no statement is long. */
export const mostDeleted = { atOnce: 500, inOnePass: 5_000 };

// Whoever has not heard of a logout for so long has no session left that it could end.
const longestDelivery = lifetimes.session;

/**
 * Deletes what nothing can use any more, a bounded part of it.
 * @returns how many rows
 */
export async function tidy(db: Db, { auditRetentionDays }: HousekeepingOptions): Promise<number> {
  const now = sql`now()`;
  const before = (amount: number, unit: 'second' | 'day') =>
    sql`now() - ${amount} * ${sql.raw(`interval '1 ${unit}'`)}`;
  const expired: [table: PgTable, condition: SQL][] = [
    [records, lt(records.expiresAt, now)],
    [revocations, lt(revocations.expiresAt, now)],
    // An expired code is remembered for as long again, to be called expired and not unknown.
    [deviceCodes, lt(deviceCodes.expiresAt, before(lifetimes.deviceCode, 'second'))],
    [codeGuesses, lt(codeGuesses.expiresAt, now)],
    [logoutDeliveries, lt(logoutDeliveries.createdAt, before(longestDelivery, 'second'))],
    [auditEvents, lt(auditEvents.at, before(auditRetentionDays, 'day'))],
  ];
  let deleted = 0;
  for (const [table, condition] of expired) deleted += await deleteSome(db, table, condition);
  return deleted;
}

async function deleteSome(db: Db, table: PgTable, condition: SQL): Promise<number> {
  let deleted = 0;
  while (deleted < mostDeleted.inOnePass) {
    // Rows that another process is at are left to it, so nobody waits, and nobody for each other.
    const batch = sql`select ctid from ${table} where ${condition} limit ${mostDeleted.atOnce} for update skip locked`;
    const gone = await db.delete(table).where(sql`ctid = any(array(${batch}))`).returning({ one: sql`1` });
    deleted += gone.length;
    if (gone.length < mostDeleted.atOnce) break;
  }
  return deleted;
}

/** The milliseconds until the next pass; one that may have left something behind is followed at once. */
export function pauseAfter(deleted: number): number {
  // Processes that were started together do not meet each time.
  return deleted < mostDeleted.inOnePass ? 20_000 + Math.random() * 20_000 : 100;
}

/**
 * Tidies up about twice a minute, and for as long as more expires than one pass deletes; any number of processes may do so on
 * one database.
 */
export function startHousekeeping(db: Db, logger: Logger, options: HousekeepingOptions): Repeated {
  let deleted = 0;
  const pass = async () => {
    deleted = 0;
    deleted = await tidy(db, options);
  };
  return repeat(() => pauseAfter(deleted), 'housekeeping', pass, logger);
}
