import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeSettings, realServer, startPostgres } from '@gatehouse/test-kit';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { decodeJwt } from 'jose';
import { newName, goodPassword as password, register } from './registering.ts';
import { startTestAuth } from './start-test-auth.ts';

const program = fileURLToPath(new URL('../src/admin-cli.ts', import.meta.url));

test('the command line makes the first administrator, of an account that is there, and records it', {
  skip: realServer('postgres').skip,
}, async (t) => {
  const postgres = await startPostgres();
  const auth = await startTestAuth({ databaseUrl: postgres.url });
  const db = drizzle(postgres.url);
  t.after(async () => {
    await Promise.all([db.$client.end(), auth.close()]);
    await postgres.stop();
  });
  const makeAdmin = (args: string[], DATABASE_URL = postgres.url) =>
    new Promise<{ code: number; output: string }>((resolve) => {
      execFile(
        process.execPath,
        [program, ...args],
        { env: { ...nodeSettings, DATABASE_URL } },
        (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
      );
    });
  const username = newName();
  await register(auth, { username, password });
  const rolesOf = async () =>
    decodeJwt((await auth.password({ username, password })).body.access_token).roles;

  assert.deepEqual(await rolesOf(), ['customer']);
  assert.equal((await makeAdmin([])).code, 1);
  assert.equal((await makeAdmin([username], '')).code, 78);
  assert.deepEqual(await makeAdmin(['nobody-at-all']), {
    code: 1,
    output: 'make-admin: no account nobody-at-all\n',
  });
  assert.deepEqual(await rolesOf(), ['customer']);
  for (const typed of [username.toUpperCase(), username]) {
    const { code, output } = await makeAdmin([typed]);
    assert.equal(code, 0, output);
  }
  assert.deepEqual(await rolesOf(), ['customer', 'admin']);
  const other = newName();
  await register(auth, { username: other, password });
  await db.execute(sql`update auth.accounts set disabled_at = now() where username = ${other}`);
  assert.deepEqual(await makeAdmin([other]), {
    code: 1,
    output: `make-admin: the account ${other} is disabled\n`,
  });
  const { rows } = await db.execute(
    sql`select actor_id, detail from auth.audit_events where event = 'roles-change'`,
  );
  const record = { actor_id: 'command line', detail: { roles: ['customer', 'admin'] } };
  assert.deepEqual(rows, [record, record]);
});
