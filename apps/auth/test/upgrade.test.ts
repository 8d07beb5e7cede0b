import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { createLogger, openDatabase } from '@gatehouse/service-kit';
import { sql } from 'drizzle-orm';
import { rowsOf } from './start-test-auth.ts';

const migrations = new URL('../migrations', import.meta.url);

/** The migrations as they were when `last` was the newest. */
function migrationsUntil(last: string): URL {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-migrations-'));
  cpSync(fileURLToPath(migrations), folder, { recursive: true });
  const file = join(folder, 'meta', '_journal.json');
  const journal: { entries: { tag: string }[] } = JSON.parse(readFileSync(file, 'utf8'));
  const entries = journal.entries.slice(0, journal.entries.findIndex(({ tag }) => tag === last) + 1);
  writeFileSync(file, JSON.stringify({ ...journal, entries }));
  return pathToFileURL(folder);
}

test('no session and no grant outlives an upgrade that nobody could end afterwards', async (t) => {
  const embedded = await openEmbeddedPostgres(undefined);
  t.after(() => embedded.close());
  const logger = createLogger({ name: 'auth', level: 'silent' });
  const old = migrationsUntil('0004_key_stages');
  t.after(() => rmSync(old, { recursive: true }));
  const { db } = await openDatabase({ embedded }, { name: 'auth', migrations: old, logger });
  for (const model of ['Session', 'Grant', 'RefreshToken'])
    await db.execute(sql`insert into auth.records (model, id_hash, payload) values (${model}, ${model}, '')`);

  await openDatabase({ embedded }, { name: 'auth', migrations, logger });

  // A refresh token is nothing without its grant.
  assert.deepEqual(await rowsOf(db, sql`select model from auth.records`), [{ model: 'RefreshToken' }]);
});
