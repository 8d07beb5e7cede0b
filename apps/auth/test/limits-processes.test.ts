import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createRedisClient, requestDeadlines } from '@gatehouse/redis';
import { createLogger } from '@gatehouse/service-kit';
import { type RealServer, realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { createCounts } from '../src/limits/counts.ts';
import { basic, firstParty, reporting, startTestAuth, type TestAuth } from './start-test-auth.ts';

const [here, elsewhere] = ['198.51.100.1', '198.51.100.2'];
const aloneLine = 'limits are counted by this process alone';
const right = 'alice-demo-pass';

function signIn(auth: TestAuth, password: string, address = here) {
  const form = { username: 'alice', password, scope: 'items:read' };
  return auth.send('/token', {
    method: 'POST',
    headers: { 'x-forwarded-for': address },
    body: new URLSearchParams({ grant_type: 'password', client_id: firstParty.id, ...form }),
  });
}

function asClient(auth: TestAuth, secret: string, address = here) {
  return auth.send('/token', {
    method: 'POST',
    headers: { 'x-forwarded-for': address, authorization: basic({ ...reporting, secret }) },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'items:read' }),
  });
}

async function statuses(count: number, send: (round: number) => Promise<{ status: number }>) {
  const seen: number[] = [];
  for (let round = 0; round < count; round += 1) seen.push((await send(round)).status);
  return seen;
}

const needed = { skip: realServer('postgres').skip || realServer('redis').skip };

suite('limits of several processes', needed, () => {
  let postgres: RealServer;
  let redis: RealServer;
  let servers: TestAuth[];
  before(async () => {
    [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    const start = () => startTestAuth({ databaseUrl: postgres.url, redisUrl: redis.url, ownProcess: true });
    servers = await Promise.all([start(), start()]);
  });
  after(async () => {
    await Promise.all((servers ?? []).map((server) => server.close()));
    await Promise.all([postgres?.stop(), redis?.stop()]);
  });
  const server = (round: number) => servers[round % 2] as TestAuth;

  let addresses = 0;
  /** Does it from new addresses, and again where Redis was too late for a process, which then counts alone. */
  async function whileShared(work: (here: string, elsewhere: string) => Promise<void>): Promise<void> {
    const timesAlone = () =>
      servers.flatMap(({ log }) => log).filter((line) => line.includes(aloneLine)).length;
    for (let turn = 1; ; turn += 1) {
      const before = timesAlone();
      addresses += 2;
      try {
        return await work(`198.51.100.${addresses}`, `198.51.100.${addresses + 1}`);
      } catch (error) {
        if (turn === 5 || timesAlone() === before) throw error;
        await delay(2000);
      }
    }
  }

  test('A47 ten wrong passwords are ten, whichever process they reach, and a right one forgives them in all', async () => {
    await whileShared(async (here, elsewhere) => {
      const guesses = (count: number) => statuses(count, (round) => signIn(server(round), 'wrong', here));
      for (let turn = 0; turn < 2; turn += 1) {
        assert.deepEqual(await guesses(9), Array(9).fill(400));
        assert.equal((await signIn(server(turn), right, here)).status, 200);
      }
      assert.deepEqual(await guesses(10), Array(10).fill(400));
      assert.deepEqual(await statuses(4, (round) => signIn(server(round), right, here)), Array(4).fill(429));
      assert.equal((await signIn(server(0), right, elsewhere)).status, 200);
    });
  });

  test('A47 of forty guesses at once at two processes ten are looked at', async () => {
    await whileShared(async (here) => {
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, round) => signIn(server(round), 'wrong', here)),
      );
      assert.equal(answers.filter(({ status }) => status === 400).length, 10);
    });
  });

  test('A21 twenty wrong secrets are twenty, whichever process they reach', async () => {
    await whileShared(async (here) => {
      const guesses = (count: number) => statuses(count, (round) => asClient(server(round), 'wrong', here));
      assert.deepEqual(await guesses(20), Array(20).fill(401));
      assert.deepEqual(await guesses(2), [429, 429]);
      assert.deepEqual(
        await statuses(2, (round) => asClient(server(round), reporting.secret, here)),
        [429, 429],
      );
    });
  });

  test('what stands in Redis has an end, and names neither accounts nor addresses', async () => {
    const client = createRedisClient(redis.url, { enableOfflineQueue: true });
    try {
      const keys = await client.keys('*limit*');
      assert.ok(keys.length >= 4, keys.join());
      for (const key of keys) {
        assert.match(key, /^gatehouse:limit:[a-z-]+:[\w-]{22}$/);
        const seconds = await client.ttl(key);
        assert.ok(seconds > 0 && seconds <= 3600, `${key} ${seconds}`);
      }
    } finally {
      client.disconnect();
    }
  });
});

suite('limits while Redis is away', realServer('redis', { own: true }), () => {
  /** The answer, which must not have waited for Redis longer than its deadline. */
  async function inTime<Result>(answer: Promise<Result>): Promise<Result> {
    const late = delay(3000, undefined, { ref: false }).then(() => assert.fail('no answer within 3 s'));
    return Promise.race([answer, late]);
  }

  const outages: [string, (redis: RealServer) => unknown, (redis: RealServer) => unknown][] = [
    ['killed', (redis) => redis.kill(), (redis) => redis.restart()],
    ['frozen', (redis) => redis.pause(), (redis) => redis.resume()],
  ];
  for (const [how, takeAway, bringBack] of outages) {
    test(`R42 with Redis ${how}, three wrong passwords are the limit; it is ten again when Redis is back`, async (t) => {
      const redis = await startRedis(t, { own: true });
      const auth = await startTestAuth({ redisUrl: redis.url });
      t.after(() => auth.close());
      assert.equal((await signIn(auth, right)).status, 200);
      await takeAway(redis);

      assert.equal((await inTime(signIn(auth, right))).status, 200);
      const answers = await statuses(4, () => inTime(signIn(auth, 'wrong')));
      assert.deepEqual(answers, [400, 400, 400, 429]);
      const { status, headers } = await inTime(signIn(auth, right));
      assert.equal(status, 429);
      assert.ok(Number(headers.get('retry-after')) > 0);
      assert.equal((await inTime(signIn(auth, right, elsewhere))).status, 200);
      assert.equal((await inTime(asClient(auth, reporting.secret))).status, 200);
      assert.deepEqual(await statuses(11, () => inTime(asClient(auth, 'wrong'))), [
        ...Array(10).fill(401),
        429,
      ]);
      assert.equal((await inTime(asClient(auth, reporting.secret))).status, 429);

      await bringBack(redis);
      const isBack = () => auth.log.some((line) => line.includes('limits are shared again'));
      for (let round = 0; !isBack() && round < 100; round += 1) {
        await delay(100);
        await signIn(auth, right, elsewhere);
      }
      assert.ok(isBack(), 'Redis is not used again');
      assert.equal((await signIn(auth, right)).status, 200);
      assert.equal((await asClient(auth, reporting.secret)).status, 200);
      assert.deepEqual(await statuses(11, () => signIn(auth, 'wrong')), [...Array(10).fill(400), 429]);
      // One line for each change, however many requests there were.
      assert.equal(auth.log.filter((line) => line.includes(aloneLine)).length, 1);
    });
  }

  test('R42 what a process has seen before Redis went counts after it', async (t) => {
    const redis = await startRedis(t, { own: true });
    const auth = await startTestAuth({ redisUrl: redis.url });
    t.after(() => auth.close());
    assert.deepEqual(await statuses(5, () => signIn(auth, 'wrong')), Array(5).fill(400));
    await redis.kill();
    assert.equal((await signIn(auth, right)).status, 429);
  });

  test('R42 of all requests one a second asks a Redis that does not answer', async (t) => {
    const client = createRedisClient('redis://127.0.0.1:1', requestDeadlines);
    t.after(() => client.disconnect());
    const { mock } = t.mock.method(client, 'sendCommand');
    const limits = { some: { most: 9, windowSeconds: 60, mostAlone: 9 } };
    const counts = createCounts(limits, client, createLogger({ name: 'auth', level: 'silent' }));
    const askedBy = async (requests: number) => {
      const before = mock.callCount();
      await Promise.all(Array.from({ length: requests }, (_, i) => counts.add('some', `${i}`)));
      return mock.callCount() - before;
    };
    const once = await askedBy(1);
    assert.ok(once > 0);
    assert.equal(await askedBy(20), 0);
    await delay(1100);
    assert.equal(await askedBy(20), once);
  });

  test('what is taken back does not count in Redis either', async (t) => {
    const redis = await startRedis(t, { own: true });
    const client = createRedisClient(redis.url, { enableOfflineQueue: true });
    t.after(() => client.disconnect());
    const limits = { some: { most: 9, windowSeconds: 60, mostAlone: 9 } };
    const counts = createCounts(limits, client, createLogger({ name: 'auth', level: 'silent' }));
    await counts.add('some', 'key');
    const { takeBack } = await counts.add('some', 'key');
    await takeBack();
    assert.equal(await client.get('gatehouse:limit:some:key'), '1');
  });

  test('keys that nobody could have so many of do not fill Redis', async (t) => {
    const redis = await startRedis(t, { own: true });
    const client = createRedisClient(redis.url, { enableOfflineQueue: true });
    t.after(() => client.disconnect());
    const limits = { some: { most: 1, windowSeconds: 60, mostAlone: 1 } };
    const counts = createCounts(limits, client, createLogger({ name: 'auth', level: 'silent' }));
    for (let batch = 0; batch < 42; batch += 1) {
      await Promise.all(Array.from({ length: 500 }, (_, i) => counts.add('some', `${batch} ${i}`)));
    }
    assert.equal(await client.dbsize(), 20_000);
  });
});
