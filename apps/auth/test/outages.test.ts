import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createMemoryDenylist, createRedisDenylistReader, type DenylistReader } from '@gatehouse/denylist';
import { createRedisClient } from '@gatehouse/redis';
import { createMetrics } from '@gatehouse/service-kit';
import { realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import {
  authorizeUrl,
  demoWeb,
  firstParty,
  issuer,
  referenceOf,
  reporting,
  startTestAuth,
} from './start-test-auth.ts';

/** Whether a reader that can be trusted at the moment names this token. */
function isDenied(reader: DenylistReader, token: string): boolean {
  try {
    return reader.isRevoked(referenceOf(token));
  } catch {
    return false;
  }
}

/** Waits until `check` holds; fails when it has not within 10 s. */
async function eventually(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  for (const until = Date.now() + 10_000; Date.now() < until; await delay(20)) {
    if (await check()) return;
  }
  assert.fail(`${what}: not within 10 s`);
}

suite('Redis is away', realServer('redis', { own: true }), () => {
  test('R25 A27 revoking answers 503, is true at once here, and reaches Redis when it is back', async (t) => {
    const redis = await startRedis(t, { own: true });
    const metrics = createMetrics('auth');
    const auth = await startTestAuth({ redisUrl: redis.url, metrics });
    const deliveryAge = async () =>
      Number(/^auth_denylist_delivery_age_seconds (.+)$/m.exec(await metrics.registry.metrics())?.[1]);
    const reader = createRedisDenylistReader({ url: redis.url });
    try {
      await reader.ready();
      const token = (await auth.password()).body.access_token;
      const other = (await auth.password()).body.access_token;
      const browser = auth.browser();
      const { accessToken, refreshToken } = await auth.signedIn('alice', browser);
      await redis.stop();

      const question = await browser.open(`${issuer}/logout`);
      const page = await browser.submit(question, {}, { button: 'Sign out' });
      assert.equal(page.status, 503);
      assert.equal(page.headers.get('retry-after'), '2');
      assert.equal(await auth.isActive(accessToken, demoWeb), false);
      assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');

      const refused = await auth.post('/revoke', { token }, firstParty);
      assert.equal(refused.status, 503);
      assert.equal(refused.body.error, 'temporarily_unavailable');
      assert.ok(refused.headers.get('retry-after'));
      assert.equal(await auth.isActive(token, firstParty), false);
      assert.equal(await auth.isActive(other, firstParty), true);

      const told = auth.log
        .map((line) => JSON.parse(line))
        .filter(({ requestId }) => requestId === refused.headers.get('x-request-id'));
      assert.deepEqual(
        told.map(({ level, msg, reason }) => [level, msg, reason]),
        [
          ['warn', 'request could not be served', undefined],
          ['info', 'request', 'a part of the system that this request needs is unavailable'],
        ],
      );
      assert.equal(told[0].traceId, told[1].traceId);
      await eventually('the age of the last delivery grows', async () => (await deliveryAge()) > 2);

      // It comes back empty: what was revoked before and during the outage has to be there again.
      await redis.restart();
      await eventually('the revocation is on the denylist', () => isDenied(reader, token));
      await eventually('everything is delivered', async () => (await deliveryAge()) < 2);
      assert.equal(reader.isRevoked(referenceOf(other)), false);
      assert.equal((await auth.post('/revoke', { token: other }, firstParty)).status, 200);
    } finally {
      await reader.close();
      await auth.close();
    }
  });

  test('R26 a Redis with wrong settings makes the server unready, and the log says why; one that is away does not', async (t) => {
    const redis = await startRedis(t, { own: true, args: ['--requirepass', 'right'] });
    const redisUrl = redis.url.replace('//', '//:right@');
    const auth = await startTestAuth({ redisUrl });
    const raw = createRedisClient(redisUrl, {});
    const readiness = async () => (await auth.send('/health/ready')).status;
    const faults: [told: string, make: () => Promise<unknown>, mend: () => Promise<unknown>][] = [
      [
        'maxmemory-policy of Redis must be noeviction, and is allkeys-lru',
        () => raw.config('SET', 'maxmemory-policy', 'allkeys-lru'),
        () => raw.config('SET', 'maxmemory-policy', 'noeviction'),
      ],
      [
        'Redis must be a primary, and is a replica',
        () => raw.replicaof('127.0.0.1', '1'),
        () => raw.replicaof('NO', 'ONE'),
      ],
      [
        // WRONGPASS to who connects, NOAUTH to who asks all the same.
        'Redis does not let us in: ',
        async () => {
          await raw.config('SET', 'requirepass', 'another');
          await raw.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        },
        () => raw.config('SET', 'requirepass', 'right'),
      ],
    ];
    try {
      await eventually('ready', async () => (await readiness()) === 200);
      for (const [told, make, mend] of faults) {
        await make();
        const isTold = () => auth.log.some((line) => line.includes(told));
        await eventually(told, async () => (await readiness()) === 503 && isTold());
        await mend();
        await eventually('ready again', async () => (await readiness()) === 200);
      }
      await redis.stop();
      assert.equal(await readiness(), 200);
    } finally {
      raw.disconnect();
      await auth.close();
    }
  });

  test('R20 a Redis that kept its data gets what it missed', async (t) => {
    const redis = await startRedis(t, { own: true, args: ['--appendonly', 'yes'] });
    const auth = await startTestAuth({ redisUrl: redis.url });
    const reader = createRedisDenylistReader({ url: redis.url });
    try {
      await reader.ready();
      const token = (await auth.password()).body.access_token;
      await redis.stop();
      assert.equal((await auth.post('/revoke', { token }, firstParty)).status, 503);
      await redis.restart();
      await eventually('the revocation is on the denylist', () => isDenied(reader, token));
    } finally {
      await reader.close();
      await auth.close();
    }
  });

  test('R24 nothing revoked comes back to life when Redis returns empty', async (t) => {
    const redis = await startRedis(t, { own: true });
    const auth = await startTestAuth({ redisUrl: redis.url });
    try {
      const token = (await auth.password()).body.access_token;
      assert.equal((await auth.post('/revoke', { token }, firstParty)).status, 200);
      await redis.kill();
      await redis.restart();
      const reader = createRedisDenylistReader({ url: redis.url });
      try {
        // A fresh reader is not ready before everything has been replayed.
        await reader.ready();
        assert.equal(reader.isRevoked(referenceOf(token)), true);
      } finally {
        await reader.close();
      }
    } finally {
      await auth.close();
    }
  });
});

test('a denylist that is new is complete once the server has started, with everything revoked before', {
  ...realServer('postgres'),
}, async (t) => {
  const postgres = await startPostgres(t);
  const first = await startTestAuth({ databaseUrl: postgres.url });
  const token = (await first.password()).body.access_token;
  await first.post('/revoke', { token }, firstParty);
  await first.close();

  const denylist = createMemoryDenylist();
  assert.throws(() => denylist.isRevoked(referenceOf(token)));
  const second = await startTestAuth({ databaseUrl: postgres.url, denylist });
  assert.equal(denylist.isRevoked(referenceOf(token)), true);
  await second.close();
});

test('R15 a database that is away is 503 everywhere, never a verdict, and heals by itself', {
  ...realServer('postgres', { own: true }),
}, async (t) => {
  const postgres = await startPostgres(t, { own: true });
  const auth = await startTestAuth({ databaseUrl: postgres.url });
  t.after(() => auth.close());
  const browser = auth.browser();
  const { accessToken, refreshToken } = await auth.signedIn('alice', browser);
  await postgres.stop();

  const answers = {
    password: await auth.password(),
    refresh: await auth.refresh(refreshToken),
    code: await auth.token(
      { grant_type: 'authorization_code', code: 'x', redirect_uri: 'http://localhost:9999/callback' },
      demoWeb,
    ),
    introspect: await auth.post('/introspect', { token: accessToken }, demoWeb),
    revoke: await auth.post('/revoke', { token: accessToken }, demoWeb),
    userinfo: await auth.userinfo(accessToken),
  };
  for (const [name, { status, body, headers }] of Object.entries(answers)) {
    assert.equal(status, 503, name);
    assert.equal(body.error, 'temporarily_unavailable', name);
    assert.ok(headers.get('retry-after'), name);
    assert.doesNotMatch(JSON.stringify(body), /127\.0\.0\.1|postgres|ECONN/i);
  }
  const page = await browser.open(authorizeUrl());
  assert.equal(page.status, 503);
  assert.equal(page.redirect, undefined);
  assert.match(page.text, /try again/i);
  assert.equal((await auth.send('/health/ready')).status, 503);
  assert.equal((await auth.send('/health/live')).status, 200);
  assert.equal((await auth.send('/.well-known/jwks.json')).status, 200);
  const own = await auth.token({ grant_type: 'client_credentials', scope: 'items:read' }, reporting);
  assert.equal(own.status, 503, 'no token without a record');

  await postgres.restart();
  assert.equal((await auth.refresh(refreshToken)).status, 200);
  assert.equal(await auth.isActive(accessToken, demoWeb), true);
});
