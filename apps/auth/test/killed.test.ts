import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type RealServer, realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { type SQL, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { decodeJwt } from 'jose';
import { createVault } from '../src/protocol/vault.ts';
import { encryptionKey, startTestAuth, type TestAuth } from './start-test-auth.ts';

const needed = { skip: realServer('postgres').skip || realServer('redis').skip };

suite('a process that is killed in the middle of a refresh', needed, () => {
  let postgres: RealServer;
  let redis: RealServer;
  let db: ReturnType<typeof drizzle>;
  let survivor: TestAuth;
  const start = () => startTestAuth({ databaseUrl: postgres.url, redisUrl: redis.url, ownProcess: true });
  before(async () => {
    [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    survivor = await start();
    db = drizzle(postgres.url);
    db.$client.on('error', () => {});
    // Whoever holds the advisory lock decides when a refresh token is stored.
    await db.execute(sql`
      create function wait_for_the_test() returns trigger language plpgsql as
      $$ begin perform pg_advisory_xact_lock_shared(1); return new; end $$`);
    await db.execute(sql`
      create trigger wait_for_the_test before insert on auth.records
      for each row when (new.model = 'RefreshToken') execute function wait_for_the_test()`);
  });
  after(async () => {
    await survivor?.close();
    await db?.$client.end();
    await redis?.stop();
    await postgres?.stop();
  });

  /** Kills a process while its refresh waits for what `hold` locks; nothing that it had begun goes on. */
  async function killWhileItWaits(refreshToken: string, hold: SQL): Promise<void> {
    const victim = await start();
    const [lost] = await db.transaction(async (tx) => {
      await tx.execute(hold);
      const answer = Promise.allSettled([victim.refresh(refreshToken)]);
      await eventually(async () => (await waiting()).length > 0);
      await victim.kill();
      for (const pid of await waiting()) await db.execute(sql`select pg_terminate_backend(${pid}::int)`);
      await eventually(async () => (await waiting()).length === 0);
      return answer;
    });
    assert.equal(lost.status, 'rejected', 'the refresh was answered');
  }

  async function waiting(): Promise<unknown[]> {
    const found = await db.execute(
      sql`select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
    );
    return found.rows.map(({ pid }) => pid);
  }

  async function liveTokensOf(accessToken: string): Promise<number> {
    const grantHash = createVault(encryptionKey).hash(String(decodeJwt(accessToken).gid), 'grant');
    const found = await db.execute(
      sql`select 1 from auth.records
          where model = 'RefreshToken' and grant_hash = ${grantHash} and consumed_at is null`,
    );
    return found.rows.length;
  }

  test('R16 before the refresh token is used: it still works', async () => {
    const { refreshToken, accessToken } = await survivor.signedIn();
    const hold = sql`select 1 from auth.records where model = 'RefreshToken' for update`;
    await killWhileItWaits(refreshToken, hold);
    assert.equal((await survivor.refresh(refreshToken)).status, 200);
    assert.equal(await liveTokensOf(accessToken), 1);
  });

  test('R16 after the refresh token is used and before its successor is stored: a retry gets in, and no fork', async () => {
    const { refreshToken, accessToken } = await survivor.signedIn();
    await killWhileItWaits(refreshToken, sql`select pg_advisory_xact_lock(1)`);
    assert.equal(await liveTokensOf(accessToken), 0);
    const retries = await Promise.all([survivor.refresh(refreshToken), survivor.refresh(refreshToken)]);
    const [successor, ...others] = new Set(retries.map(({ body }) => body.refresh_token));
    assert.deepEqual(others, []);
    assert.equal(await liveTokensOf(accessToken), 1);
    assert.equal((await survivor.refresh(successor)).status, 200);
    assert.equal((await survivor.refresh(refreshToken)).body.error, 'invalid_grant');
    assert.equal(await liveTokensOf(accessToken), 0);
  });

  test('R16 at any moment: the client gets in again or signs in again, and never has two live tokens', async () => {
    for (const pauseMs of [0, 4, 8, 16, 32]) {
      const victim = await start();
      const { refreshToken, accessToken } = await survivor.signedIn();
      const uses = Array.from({ length: 8 }, () => victim.refresh(refreshToken));
      const answers = Promise.allSettled(uses);
      await delay(pauseMs);
      await victim.kill();
      const received = (await answers).flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      const retry = await survivor.refresh(refreshToken);
      if (retry.status !== 200) assert.equal(retry.body.error, 'invalid_grant');
      for (const { body } of received) assert.equal(body.refresh_token, retry.body.refresh_token);
      assert.ok((await liveTokensOf(accessToken)) <= 1, 'the family forked');
    }
  });
});

async function eventually(check: () => Promise<boolean>): Promise<void> {
  for (const until = Date.now() + 10_000; Date.now() < until; await delay(10)) {
    if (await check()) return;
  }
  assert.fail('not within 10 s');
}
