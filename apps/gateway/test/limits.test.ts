import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createRedisClient } from '@gatehouse/redis';
import { realServer, startRedis } from '@gatehouse/test-kit';
import { rateLimits } from '../src/limits.ts';
import { createSharedCounts, type SharedCounts } from '../src/shared-counts.ts';
import { type Answer, startTestGateway, type TestGateway, until } from './start-gateway.ts';

function assertRefused(answer: Answer, policy: string): void {
  assert.equal(answer.status, 429);
  assert.match(String(answer.headers['content-type']), /^application\/problem\+json/);
  assert.equal(answer.json.status, 429);
  const [, seconds] = new RegExp(`^"${policy}";r=0;t=(\\d+)$`).exec(String(answer.headers.ratelimit)) ?? [];
  assert.equal(answer.headers['retry-after'], seconds);
  assert.ok(Number(seconds) >= 1 && Number(seconds) <= 60, `${seconds} s`);
}

async function refusalsOf(gateway: TestGateway, policy: string): Promise<number | undefined> {
  const { values } = (await gateway.metrics.registry.getSingleMetric('rate_limited_total')?.get()) ?? {
    values: [],
  };
  return values.find(({ labels }) => labels.policy === policy)?.value;
}

test('every answer but that of a health check tells the limits that hold, and the one that is nearest to its end', async (t) => {
  const gateway = await startTestGateway(t, { env: { RATE_LIMIT_CALLER: '50', RATE_LIMIT_CLIENT: '40' } });
  const headers = { authorization: await gateway.bearer() };
  const { most } = rateLimits.address;
  const first = await gateway.send('/items', { headers });
  assert.equal(
    first.headers['ratelimit-policy'],
    `"caller";q=50;w=60, "client";q=40;w=60, "address";q=${most};w=60`,
  );
  assert.match(String(first.headers.ratelimit), /^"client";r=39;t=(?:60|59)$/);
  assert.match(
    String((await gateway.send('/items', { headers })).headers.ratelimit),
    /^"client";r=38;t=\d+$/,
  );
  for (const path of ['/token', '/items', '/docs', '/nothing']) {
    const answer = await gateway.send(path);
    assert.equal(answer.headers['ratelimit-policy'], `"address";q=${most};w=60`, path);
    assert.match(String(answer.headers.ratelimit), /^"address";r=\d+;t=\d+$/, path);
  }
  assert.equal((await gateway.send('/health/live')).headers.ratelimit, undefined);
});

test('an address over its limit is refused before anything is verified or forwarded, and its health checks are not', async (t) => {
  const gateway = await startTestGateway(t, { env: { RATE_LIMIT_ADDRESS: '3' } });
  const headers = { authorization: await gateway.bearer() };
  const flood = { authorization: 'Bearer nonsense' };
  for (let i = 0; i < 3; i += 1) assert.equal((await gateway.send('/items', { headers: flood })).status, 401);
  assertRefused(await gateway.send('/items', { headers: flood }), 'address');
  assertRefused(await gateway.send('/items', { headers }), 'address');
  assertRefused(await gateway.send('/%', {}), 'address');
  assert.deepEqual(gateway.received, []);
  for (const path of ['/health/live', '/health/ready?why'])
    assert.equal((await gateway.send(path)).status, 200);
  assertRefused(await gateway.send('/health/whatever'), 'address');
  assert.equal(await refusalsOf(gateway, 'address'), 4);
});

test('a flood without valid tokens from one address locks out nobody else, whoever it says it is', async (t) => {
  const gateway = await startTestGateway(t, {
    env: {
      TRUSTED_PROXIES: '127.0.0.1',
      RATE_LIMIT_ADDRESS: '20',
      RATE_LIMIT_CALLER: '3',
      RATE_LIMIT_CLIENT: '3',
    },
  });
  const authorization = await gateway.bearer();
  const [head, payload] = authorization.split('.');
  for (let i = 0; i < 30; i += 1) {
    const headers = { 'x-forwarded-for': '203.0.113.66', authorization: `${head}.${payload}.AAAA` };
    assert.equal((await gateway.send('/items', { headers })).status, i < 20 ? 401 : 429);
  }
  const headers = { 'x-forwarded-for': '203.0.113.7', authorization };
  for (let i = 0; i < 3; i += 1) assert.equal((await gateway.send('/items', { headers })).status, 200);
});

test('a caller over the limit is refused wherever he is; others, and the client that he used, are not', async (t) => {
  const gateway = await startTestGateway(t, {
    env: { TRUSTED_PROXIES: '127.0.0.1', RATE_LIMIT_CALLER: '2', RATE_LIMIT_CLIENT: '4' },
  });
  const as = async (sub: string, client_id: string, address: string) =>
    gateway.send('/items', {
      headers: { authorization: await gateway.bearer({ sub, client_id }), 'x-forwarded-for': address },
    });
  assert.equal((await as('alice', 'app', '203.0.113.1')).status, 200);
  assert.equal((await as('alice', 'app', '203.0.113.2')).status, 200);
  for (let i = 3; i < 9; i += 1) assertRefused(await as('alice', 'app', `203.0.113.${i}`), 'caller');
  assert.equal((await as('bob', 'app', '203.0.113.1')).status, 200);
  assert.equal((await as('bob', 'app', '203.0.113.1')).status, 200);
  assertRefused(await as('carol', 'app', '203.0.113.1'), 'client');
  // What her client was refused is not hers.
  for (let i = 0; i < 2; i += 1) assert.equal((await as('carol', 'other', '203.0.113.1')).status, 200);
  assert.equal(gateway.received.length, 6);
  assert.equal(await refusalsOf(gateway, 'caller'), 6);
  assert.equal(await refusalsOf(gateway, 'client'), 1);
});

test(
  'R42 gateways share what was counted, and each goes on alone while Redis is away',
  realServer('redis', { own: true }),
  async (t) => {
    const redis = await startRedis(t, { own: true });
    const env = { REDIS_URL: redis.url, RATE_LIMIT_CALLER: '20' };
    const first = await startTestGateway(t, { env });
    const second = await startTestGateway(t, { env, issuer: first.issuer });
    const remaining = async (gateway: TestGateway, sub: string) => {
      const answer = await gateway.send('/items', {
        headers: { authorization: await gateway.bearer({ sub }) },
      });
      return answer.status === 200
        ? Number(/^"caller";r=(\d+)/.exec(String(answer.headers.ratelimit))?.[1])
        : answer.status;
    };
    const spend = async (gateway: TestGateway, sub: string, count: number) => {
      for (let i = 0; i < count; i += 1) await remaining(gateway, sub);
    };

    await spend(first, 'alice', 15);
    await untilLeft(5);
    await spend(second, 'alice', 5);
    assert.equal(await remaining(second, 'alice'), 429);

    await redis.stop();
    for (const gateway of [first, second]) {
      for (let used = 1; used <= 20; used += 1) assert.equal(await remaining(gateway, 'bob'), 20 - used);
      assert.equal(await remaining(gateway, 'bob'), 429, 'its own limit holds');
    }
    const says = (words: string) => () => first.log.some((line) => line.includes(words));
    await until(says('failing, will be tried again'), 5_000);
    await redis.restart();
    await until(says('succeeds again'), 5_000);

    /** Each look at what the second gateway knows costs one, and is shared too. */
    async function untilLeft(most: number): Promise<void> {
      for (let looks = 0; looks < 10; looks += 1) {
        await delay(600);
        if (Number(await remaining(second, 'alice')) <= most) return;
      }
      assert.fail(`the second gateway does not know that ${most} are left`);
    }
  },
);

/** The counts of two gateways, with the Redis that they share. */
async function twoThatShare(t: TestContext, windowSeconds = 60) {
  const redis = await startRedis(t, { own: true });
  const open = async () => {
    const client = createRedisClient(redis.url, { commandTimeout: 1_000, enableAutoPipelining: true });
    t.after(() => client.disconnect());
    await until(() => client.status === 'ready', 2_000);
    return { client, counts: createSharedCounts({ name: 'caller', most: 20, windowSeconds }, client) };
  };
  const [one, other] = [await open(), await open()];
  return { client: one.client, here: one.counts, there: other.counts };
}

test(
  'R42 what one gateway has learned from another is not told again, nor forgotten with Redis',
  realServer('redis', { own: true }),
  async (t) => {
    const { client, here, there } = await twoThatShare(t);
    const count = async (counts: SharedCounts) => {
      const { counted } = counts.take('alice');
      await counts.share();
      return counted.count;
    };
    for (const expected of [1, 3, 5]) {
      assert.equal(await count(here), expected);
      assert.equal(await count(there), expected + 1);
    }
    await client.flushall();
    assert.equal(await count(there), 7);
  },
);

test(
  'R42 a window that has ended is not shared: a count in Redis would have no end',
  realServer('redis', { own: true }),
  async (t) => {
    const { client, here } = await twoThatShare(t, 0.05);
    here.take('alice');
    await delay(100);
    await here.share();
    assert.deepEqual(await client.keys('*'), []);
  },
);

test(
  'R42 a flood of those over their limit does not keep the counts of others from being shared',
  realServer('redis', { own: true }),
  async (t) => {
    const { here, there } = await twoThatShare(t);
    const flood = () => {
      for (let i = 0; i < 1_000; i++) here.take(`flood ${i}`);
    };
    for (let count = 0; count < 25; count++) flood();
    for (let count = 0; count < 10; count++) {
      await here.share();
      flood();
      here.take('alice');
    }
    await here.share();
    there.take('alice');
    await there.share();
    assert.equal(there.take('alice').counted.count, 12, 'ten there, two here');
  },
);
