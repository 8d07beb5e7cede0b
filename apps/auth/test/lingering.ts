import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '@gatehouse/service-kit';
import { sql } from 'drizzle-orm';

/** Has each row of this kind take 1.2 s to be written, on a database server. */
export async function linger(db: Db, table: 'records' | 'audit_events', condition: string) {
  await db.execute(
    sql.raw(`
      create function linger() returns trigger language plpgsql as 'begin perform pg_sleep(1.2); return new; end';
      create trigger linger before insert or update on auth.${table} for each row
        when (${condition}) execute function linger()`),
  );
  return {
    /** Resolves while one is being written. */
    async begun(): Promise<void> {
      for (let tries = 0; tries < 500; tries += 1) {
        if (await db.$count(sql`pg_stat_activity`, sql`wait_event = 'PgSleep'`)) return;
        await delay(10);
      }
      assert.fail('nothing lingers');
    },
    end: () => db.execute(sql`drop function linger() cascade`),
  };
}
