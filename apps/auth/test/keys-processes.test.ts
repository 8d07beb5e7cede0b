import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createRedisDenylistReader } from '@gatehouse/denylist';
import { nodeSettings, type RealServer, realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { newToken, startApi } from './key-set-api.ts';
import { encryptionKey, reporting, startTestAuth, type TestAuth } from './start-test-auth.ts';

const needed = { skip: realServer('postgres').skip || realServer('redis').skip };
const program = fileURLToPath(new URL('../src/keys-cli.ts', import.meta.url));
const kidOf = (token: string) => String(decodeProtectedHeader(token).kid);

suite('signing keys of two processes, and the command line', needed, () => {
  let postgres: RealServer;
  let redis: RealServer;
  let servers: TestAuth[];
  before(async () => {
    [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    const start = () =>
      startTestAuth({
        databaseUrl: postgres.url,
        redisUrl: redis.url,
        ownProcess: true,
        env: { KEY_PUBLISH_SECONDS: '4', KEY_ROTATION_DAYS: '30' },
      });
    servers = await Promise.all([start(), start()]);
  });
  after(async () => {
    for (const server of servers ?? []) await server.close();
    await redis?.stop();
    await postgres?.stop();
  });

  /** The command's exit code and output. */
  const keys = (args: string[], changes: Record<string, string> = {}) =>
    new Promise<{ code: number; lines: string[] }>((resolve) => {
      const variables = {
        DATABASE_URL: postgres.url,
        ENCRYPTION_KEY: encryptionKey,
        KEY_PUBLISH_SECONDS: '4',
      };
      const env = { ...variables, ...changes };
      execFile(
        process.execPath,
        [program, ...args],
        { env: { ...nodeSettings, ...env } },
        (error, stdout, stderr) =>
          resolve({ code: Number(error?.code ?? 0), lines: (stdout + stderr).trim().split('\n') }),
      );
    });

  /** Gets a token from each, which the other must know the key of at that moment; returns their kids. */
  async function kidsInUse(): Promise<string[]> {
    return Promise.all(
      servers.map(async (server, index) => {
        const form = { grant_type: 'client_credentials', scope: 'items:read' };
        const { body } = await server.token(form, reporting);
        const other = servers[1 - index] as TestAuth;
        const keySet = createLocalJWKSet((await other.send('/.well-known/jwks.json')).body);
        await assert.doesNotReject(jwtVerify(body.access_token, keySet), 'the other does not publish it');
        return kidOf(body.access_token);
      }),
    );
  }

  async function eventuallySign(isRight: (kid: string) => boolean): Promise<void> {
    for (const until = Date.now() + 20_000; Date.now() < until; await delay(50)) {
      if ((await kidsInUse()).every(isRight)) return;
    }
    assert.fail('not within 20 s');
  }

  test('R13 R17 a rotation asked for on the command line: both go through it together', async () => {
    const [oldKid = ''] = await kidsInUse();
    const listed = await keys(['list']);
    assert.match(listed.lines.join('\n'), new RegExp(`^${oldKid}  signing  made \\S+Z  signs from \\S+Z$`));
    const { code, lines } = await keys(['rotate']);
    assert.equal(code, 0, lines.join('\n'));
    assert.equal(lines.length, 2);
    assert.match(lines.join('\n'), /^\S+ {2}published /m);
    await eventuallySign((kid) => kid !== oldKid);
    assert.equal(new Set(await kidsInUse()).size, 1);
    assert.match((await keys(['list'])).lines.join('\n'), new RegExp(`^${oldKid}  retired `, 'm'));
  });

  test('R13 R17 J30 a rotation under steady load at both: not one 401, whoever signed, with the old key or the new', async (t) => {
    const denylist = createRedisDenylistReader({ url: redis.url });
    t.after(() => denylist.close());
    await denylist.ready();
    const api = await startApi(t, servers[0] as TestAuth, denylist);
    const before = await Promise.all(servers.map(newToken));
    const oldKid = kidOf(before[0] ?? '');
    const signed = servers.map(() => ({ old: 0, new: 0 }));
    const load = Promise.all(
      servers.map(async (server, index) => {
        const count = signed[index] as (typeof signed)[number];
        for (const until = Date.now() + 60_000; count.new < 50 && Date.now() < until; await delay(5)) {
          const token = await newToken(server);
          assert.equal(await api.call(token), 200, `just signed by ${kidOf(token)}`);
          for (const old of before) assert.equal(await api.call(old), 200, 'signed long before');
          count[kidOf(token) === oldKid ? 'old' : 'new'] += 1;
        }
      }),
    );
    const [{ code }] = await Promise.all([keys(['rotate']), load]);
    assert.equal(code, 0);
    for (const count of signed) assert.ok(count.old > 0 && count.new === 50, JSON.stringify(signed));
  });

  test('R14 R17 a key removed on the command line is gone from both', async () => {
    const [leaked = ''] = await kidsInUse();
    assert.equal((await keys(['remove', leaked])).code, 0);
    // The other may still publish it for a second.
    await delay(2500);
    await eventuallySign((kid) => kid !== leaked);
    for (const server of servers) {
      const { body } = await server.send('/.well-known/jwks.json');
      assert.ok(!body.keys.some(({ kid }: { kid: string }) => kid === leaked));
    }
    assert.match((await keys(['list'])).lines.join('\n'), new RegExp(`^${leaked}  removed `, 'm'));
  });

  test('R13 R17 a key of the set age is followed by one key, not by one from each process', async () => {
    const db = drizzle(postgres.url);
    const count = async () =>
      (await db.execute(sql`select count(*)::int as n from auth.signing_keys`)).rows[0]?.n;
    try {
      const before = Number(await count());
      await db.execute(
        sql`update auth.signing_keys
            set created_at = created_at - interval '31 days', signs_from = signs_from - interval '31 days'`,
      );
      for (let tries = 0; (await count()) === before; tries += 1) {
        assert.ok(tries < 200, 'no new key');
        await delay(100);
      }
      await delay(2500);
      assert.equal(await count(), before + 1);
    } finally {
      await db.$client.end();
    }
  });

  test('R17 the command needs a database and its key alone', async () => {
    const { code, lines } = await keys(['list'], { KEY_PUBLISH_SECONDS: '' });
    assert.equal(code, 0, lines.join('\n'));
  });

  test('the command says what is wrong with what it was told', async () => {
    assert.deepEqual(await keys(['drop']), {
      code: 1,
      lines: ['keys: usage: keys list | rotate | remove <kid>'],
    });
    assert.equal((await keys(['remove'])).code, 1);
    assert.deepEqual(await keys(['remove', 'none']), { code: 1, lines: ['keys: no key none'] });
    assert.deepEqual(await keys(['list'], { DATABASE_URL: '' }), {
      code: 78,
      lines: ['keys: DATABASE_URL: is required'],
    });
    const other = Buffer.alloc(32, 7).toString('base64url');
    assert.deepEqual(await keys(['rotate'], { ENCRYPTION_KEY: other }), {
      code: 1,
      lines: ['keys: ENCRYPTION_KEY does not open the signing keys in the database'],
    });
  });
});
