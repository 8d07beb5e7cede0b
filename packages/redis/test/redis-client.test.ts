import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createRedisClient, isRedisUrl, requestDeadlines } from '../src/index.ts';

function open(t: TestContext, url: string, options = {}) {
  const redis = createRedisClient(url, { ...requestDeadlines, ...options });
  t.after(() => redis.disconnect());
  return redis;
}

test('a URL of sentinels means what it says, and they have the deadlines of Redis', (t) => {
  const url = 'redis+sentinel://a%2Fb:p%40ss@one:26380,two,[::1]:26381/main';
  const { options } = open(t, url, { lazyConnect: true });
  assert.deepEqual(options.sentinels, [
    { host: 'one', port: 26_380 },
    { host: 'two', port: 26_379 },
    { host: '::1', port: 26_381 },
  ]);
  const { name, username, password, failoverDetector } = options;
  assert.deepEqual([name, username, password, failoverDetector], ['main', 'a/b', 'p@ss', true]);
  const { commandTimeout, retryStrategy } = requestDeadlines;
  assert.equal(options.sentinelCommandTimeout, commandTimeout);
  assert.equal(options.sentinelRetryStrategy, retryStrategy);
});

test('what is no text once it is decoded is no user and no password of a URL', () => {
  for (const [credentials, isGood] of Object.entries({ 'a:b': true, '%zz:b': false, 'a:%zz': false }))
    assert.equal(isRedisUrl(`redis+sentinel://${credentials}@one/main`), isGood, credentials);
});

test('a command that cannot be sent now fails now', async (t) => {
  await assert.rejects(open(t, 'redis://127.0.0.1:1').ping(), /enableOfflineQueue/);
});
