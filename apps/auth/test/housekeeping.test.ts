import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createLogger, type Database, type Db, openDatabase } from '@gatehouse/service-kit';
import { realServer, startPostgres } from '@gatehouse/test-kit';
import { sql } from 'drizzle-orm';
import { mostDeleted, pauseAfter, startHousekeeping, tidy } from '../src/housekeeping.ts';
import { openAuthDatabase } from './interaction-app.ts';
import { rowsOf } from './start-test-auth.ts';

const options = { auditRetentionDays: 365 };
const tables = [
  'records',
  'revocations',
  'device_codes',
  'code_guesses',
  'logout_deliveries',
  'audit_events',
];

/** As many rows in every table that the housekeeping looks after: too old, or not yet. */
async function fill(db: Db, count: number, kind: 'old' | 'live'): Promise<void> {
  const at = kind === 'old' ? sql`now() - interval '1 second'` : sql`now() + interval '1 minute'`;
  const since = kind === 'old' ? sql`interval '400 days'` : sql`interval '1 minute'`;
  const series = sql`from generate_series(1, ${count}::int) n`;
  const name = sql`${kind} || n`;
  for (const statement of [
    sql`insert into auth.records (model, id_hash, payload, expires_at) select 'Session', ${name}, '', ${at} ${series}`,
    sql`insert into auth.revocations (kind, value, expires_at) select 'jti', ${name}, ${at} ${series}`,
    sql`insert into auth.device_codes
      (id_hash, sealed_id, user_code_hash, first_half_hash, interval_seconds, expires_at)
      select ${name}, '', ${name}, '', 5, ${at} - interval '10 minutes' ${series}`,
    sql`insert into auth.code_guesses (guesser_hash, guesses, expires_at) select ${name}, 1, ${at} ${series}`,
    sql`insert into auth.logout_deliveries (client_id, account_id, sealed_sid, created_at)
      select ${name}, gen_random_uuid(), '', now() - ${since} ${series}`,
    sql`insert into auth.audit_events (event, outcome, at) select 'sign-in', 'success', now() - ${since} ${series}`,
  ]) {
    await db.execute(statement);
  }
}

async function counts(db: Db): Promise<Record<string, number>> {
  const result: Record<string, number> = {};
  for (const table of tables) {
    const [row] = await rowsOf(db, sql`select count(*)::int as n from auth.${sql.identifier(table)}`);
    result[table] = Number(row?.n);
  }
  return result;
}
const each = (count: number) => Object.fromEntries(tables.map((table) => [table, count]));

suite('housekeeping', () => {
  let db: Db;
  let close: () => Promise<void>;
  before(async () => ({ db, close } = await openAuthDatabase()));
  after(() => close());

  test('what nothing can use any more goes, and nothing else', async () => {
    await fill(db, 3, 'old');
    await fill(db, 2, 'live');
    assert.equal(await tidy(db, options), 3 * tables.length);
    assert.deepEqual(await counts(db), each(2));
  });

  test('records without an end stay', async () => {
    await db.execute(
      sql`insert into auth.records (model, id_hash, payload) values ('Client', 'endless', '')`,
    );
    assert.equal(await tidy(db, options), 0);
    await db.execute(sql`delete from auth.records where id_hash = 'endless'`);
  });

  test('one pass is bounded, and the next goes on', async () => {
    const rows = mostDeleted.inOnePass + 10;
    await db.execute(sql`insert into auth.revocations (kind, value, expires_at)
      select 'jti', n::text, now() - interval '1 second' from generate_series(1, ${rows}::int) n`);
    assert.equal(await tidy(db, options), mostDeleted.inOnePass);
    assert.equal(await tidy(db, options), 10);
  });

  test('a pass that left something behind is followed at once, so that no rate of requests fills the disk', () => {
    assert.ok(pauseAfter(mostDeleted.inOnePass) <= 100);
    assert.ok(pauseAfter(mostDeleted.inOnePass - 1) >= 20_000);
  });

  test('audit events that the database protects are no error and stay', async () => {
    await db.execute(sql`insert into auth.audit_events (event, outcome, at) values
      ('sign-in', 'success', now() - interval '29 days'), ('sign-in', 'success', now() - interval '31 days')`);
    assert.equal(await tidy(db, { auditRetentionDays: 30 }), 1);
  });

  test('it stops when it is told to', async () => {
    const housekeeping = startHousekeeping(db, createLogger({ name: 'auth', level: 'silent' }), options);
    await housekeeping.stop();
  });
});

test('10,000 old rows of each kind are cleared by three processes at once, in the way of nobody', {
  ...realServer('postgres'),
}, async (t) => {
  const postgres = await startPostgres(t);
  const log: string[] = [];
  const logger = createLogger({ name: 'auth', level: 'warn' }, { write: (line) => void log.push(line) });
  const migrations = new URL('../migrations', import.meta.url);
  const databases: Database[] = [];
  t.after(() => Promise.all(databases.map((database) => database.close())));
  for (let process = 0; process < 3; process += 1) {
    databases.push(await openDatabase({ url: postgres.url }, { name: 'auth', migrations, logger }));
  }
  const [first] = databases;
  assert.ok(first);
  await fill(first.db, 10_000, 'old');
  await fill(first.db, 100, 'live');

  // Somebody holds a row that is due: it is left out, and not waited for.
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let isHeld = () => {};
  const holding = new Promise<void>((resolve) => {
    isHeld = resolve;
  });
  const holder = first.db.transaction(async (tx) => {
    await tx.execute(sql`select 1 from auth.records where id_hash = 'old1' for update`);
    isHeld();
    await held;
  });
  await holding;
  const deleted = await Promise.all(
    databases.map(async ({ db }) => {
      let sum = 0;
      for (let gone = -1; gone !== 0; sum += gone) {
        gone = await tidy(db, options);
        await delay(1);
      }
      return sum;
    }),
  );
  assert.deepEqual(await counts(first.db), { ...each(100), records: 101 });
  release();
  await holder;
  assert.equal(await tidy(first.db, options), 1);
  assert.equal(deleted.reduce((sum, count) => sum + count) + 1, 10_000 * tables.length);
  assert.deepEqual(await counts(first.db), each(100));
  assert.deepEqual(log, []);
});
