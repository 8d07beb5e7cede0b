import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type RealServer, realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { type SQL, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { decodeJwt } from 'jose';
import { createVault } from '../src/protocol/vault.ts';
import {
  demoWeb,
  encryptionKey,
  issuer,
  redemption,
  signIn,
  spawnMain,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const needed = { skip: realServer('postgres').skip || realServer('redis').skip };

suite('a process that is killed', needed, () => {
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

  test('R16 before a refresh token is used: it still works', async () => {
    const { refreshToken, accessToken } = await survivor.signedIn();
    const hold = sql`select 1 from auth.records where model = 'RefreshToken' for update`;
    await killWhileItWaits(refreshToken, hold);
    assert.equal((await survivor.refresh(refreshToken)).status, 200);
    assert.equal(await liveTokensOf(accessToken), 1);
  });

  test('R16 after a refresh token is used and before its successor is stored: a retry gets in, and no fork', async () => {
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

  /** Grants with more than one refresh token that can be used. */
  async function forks(): Promise<unknown[]> {
    const found = await db.execute(
      sql`select grant_hash from auth.records where model = 'RefreshToken' and consumed_at is null
          group by grant_hash having count(*) > 1`,
    );
    return found.rows;
  }

  /** A resource server in a process of its own, which knows the keys from an authorization server about to be killed. */
  async function startApi(auth: TestAuth) {
    const { accessToken } = await auth.signedIn('bob');
    const variables = { ISSUER: issuer, PORT: '0', JWKS_URI: `${auth.url}/.well-known/jwks.json` };
    const stores = { DATABASE_URL: postgres.url, REDIS_URL: redis.url };
    const api = await spawnMain({ ...variables, ...stores }, [], '../../items/src/main.ts');
    const headers = { authorization: `Bearer ${accessToken}` };
    const ask = async () => (await fetch(`${api.url}/items`, { headers })).status;
    await eventually(async () => (await ask()) === 200);
    const statuses: number[] = [];
    let isAsking = true;
    const asking = (async () => {
      for (; isAsking; await delay(20)) statuses.push(await ask());
    })();
    let stopped: Promise<number[]> | undefined;
    const stop = async () => {
      isAsking = false;
      await asking;
      await api.close();
      return statuses;
    };
    return {
      stop: () => {
        stopped ??= stop();
        return stopped;
      },
    };
  }

  // Two refreshes and two redemptions are under way in each.
  const rounds = 5;

  test(`R16 in ${rounds} kills or more during refreshes and redemptions: the client gets in again, no family forks, the API goes on`, async (t) => {
    let next = start();
    t.after(async () => (await next).close());
    const api = await startApi(await next);
    t.after(() => api.stop());
    let warm = (await survivor.signedIn()).refreshToken;
    const lost = { refresh: 0, code: 0, signIn: 0 };
    let heard = 0;
    // More of them where luck had every kill come too early, or too late.
    const isDone = (round: number) => round >= rounds && lost.refresh > 0 && heard > 0;
    for (let round = 0; !isDone(round) && round < 5 * rounds; round += 1) {
      const victim = await next;
      const refreshTokens = [
        (await survivor.signedIn()).refreshToken,
        (await survivor.signedIn()).refreshToken,
      ];
      const forms = [
        redemption(await signIn(survivor.browser())),
        redemption(await signIn(survivor.browser())),
      ];
      const startedAt = performance.now();
      warm = (await victim.refresh(warm)).body.refresh_token;
      // Wherever in four requests at once, however slow the machine is: at their beginning first, last at their end.
      const pauseMs = (((round % rounds) + Math.random()) / rounds) * 5 * (performance.now() - startedAt);
      const refreshed = Promise.allSettled(refreshTokens.map((token) => victim.refresh(token)));
      const redeemed = Promise.allSettled(forms.map((form) => victim.token(form, demoWeb)));
      await delay(pauseMs);
      next = start();
      await victim.kill();

      for (const [i, answer] of (await refreshed).entries()) {
        const retry = await survivor.refresh(String(refreshTokens[i]));
        assert.equal(retry.status, 200, `the client is stuck, killed after ${pauseMs} ms`);
        if (answer.status === 'rejected') lost.refresh += 1;
        else {
          heard += 1;
          assert.equal(answer.value.body.refresh_token, retry.body.refresh_token, 'the family forked');
        }
        assert.equal((await survivor.refresh(retry.body.refresh_token)).status, 200);
      }
      for (const [i, answer] of (await redeemed).entries()) {
        if (answer.status === 'fulfilled') {
          assert.equal((await survivor.refresh(answer.value.body.refresh_token)).status, 200);
          continue;
        }
        lost.code += 1;
        const retry = await survivor.token(forms[i] ?? {}, demoWeb);
        if (retry.status === 200) {
          assert.equal((await survivor.refresh(retry.body.refresh_token)).status, 200);
        } else {
          // Used, though nobody heard of it: what it gave has ended, and the person signs in again.
          assert.equal(retry.body.error, 'invalid_grant');
          lost.signIn += 1;
        }
      }
      assert.deepEqual(await forks(), []);
    }
    const statuses = await api.stop();
    assert.deepEqual([...new Set(statuses)], [200], 'the API refused a token while the server was killed');
    t.diagnostic(`answers lost: ${JSON.stringify(lost)}; the API was asked ${statuses.length} times`);
    assert.ok(lost.refresh > 0 && heard > 0, 'no kill came in the middle');
  });
});

async function eventually(check: () => Promise<boolean>): Promise<void> {
  for (const until = Date.now() + 10_000; Date.now() < until; await delay(10)) {
    if (await check()) return;
  }
  assert.fail('not within 10 s');
}
