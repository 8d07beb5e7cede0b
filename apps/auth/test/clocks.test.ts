import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createRedisDenylistReader } from '@gatehouse/denylist';
import { realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { demoWeb, issuer, reporting, startTestAuth } from './start-test-auth.ts';

const anHourMs = 3_600_000;

async function startOnPostgres(t: TestContext, redisUrl?: string) {
  const { url: databaseUrl } = await startPostgres(t);
  const auth = await startTestAuth({ databaseUrl, ...(redisUrl !== undefined && { redisUrl }) });
  t.after(auth.close);
  return auth;
}

test('what is revoked while the clock is behind stays so', realServer('postgres'), async (t) => {
  const auth = await startOnPostgres(t);
  const { body } = await auth.token({ grant_type: 'client_credentials', scope: 'items:read' }, reporting);
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() - anHourMs });
  assert.equal((await auth.post('/revoke', { token: body.access_token }, reporting)).status, 200);
  t.mock.timers.reset();
  assert.equal(await auth.isActive(body.access_token, reporting), false);
});

test(
  'an account that was signed out while the clock was ahead is of use a minute after it is set',
  realServer('postgres'),
  async (t) => {
    const auth = await startOnPostgres(t);
    const browser = auth.browser();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + anHourMs });
    await auth.signedIn('alice', browser);
    const page = await browser.open(`${issuer}/account/sign-out-everywhere`);
    await browser.submit(page, {}, { button: 'Sign out everywhere' });
    t.mock.timers.reset();
    const { accessToken } = await auth.signedIn('alice');
    const { iat } = JSON.parse(Buffer.from(String(accessToken.split('.')[1]), 'base64url').toString());
    assert.ok(iat < Date.now() / 1000 + 65, `a token from ${iat - Date.now() / 1000} s ahead`);
  },
);

test(
  'what was revoked while the clock was far ahead keeps no other from an empty Redis',
  realServer('redis'),
  async (t) => {
    const redis = await startRedis(t, { own: true });
    const auth = await startOnPostgres(t, redis.url);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 2 * anHourMs });
    const { accessToken } = await auth.signedIn();
    assert.equal((await auth.post('/revoke', { token: accessToken }, demoWeb)).status, 200);
    t.mock.timers.reset();
    await redis.restart();
    const reader = createRedisDenylistReader({ url: redis.url });
    t.after(reader.close);
    const isLate = delay(5_000, true, { ref: false });
    assert.notEqual(await Promise.race([reader.ready(), isLate]), true, 'the denylist stays incomplete');
  },
);
