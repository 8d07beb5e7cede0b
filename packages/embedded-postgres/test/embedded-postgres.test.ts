import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sql } from 'drizzle-orm';
import { openEmbeddedPostgres } from '../src/index.ts';

function temporaryDirectory(t: { after(fn: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'embedded-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'data');
}

test('rows survive a restart', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await openEmbeddedPostgres(directory);
  await first.db.execute(sql`create table notes as select 'kept' as text`);
  await first.close();
  const second = await openEmbeddedPostgres(directory);
  t.after(() => second.close());
  assert.deepEqual((await second.db.execute(sql`select text from notes`)).rows, [{ text: 'kept' }]);
});

test('a second process on the same directory is refused in one plain line', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await openEmbeddedPostgres(directory);
  t.after(() => first.close());
  const index = new URL('../src/index.ts', import.meta.url).href;
  const script = `import(${JSON.stringify(index)}).then((m) => m.openEmbeddedPostgres(${JSON.stringify(directory)}))
    .then(() => process.exit(0), (error) => { console.error(error.message); process.exit(1); })`;
  const second = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  assert.equal(second.status, 1);
  assert.equal(second.stderr, `the data directory ${directory} is in use by another process\n`);
});
