import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { sql } from 'drizzle-orm';
import {
  allowInsecureRequests,
  type Configuration,
  customFetch,
  discovery,
  initiateDeviceAuthorization,
  None,
  pollDeviceAuthorizationGrant,
} from 'openid-client';
import { allowDevice, cli, poll, requestCode } from './device-flow.ts';
import { issuer, startTestAuth, type TestAuth } from './start-test-auth.ts';

suite('device grant', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  /** Makes the server believe that this much time has passed since the device last asked. */
  const passTime = (seconds: number) =>
    auth.db.execute(
      sql`update auth.device_codes set polled_at = polled_at - ${seconds} * interval '1 second'`,
    );

  test('openid-client gets its tokens once the user has confirmed, signed in and consented', async () => {
    const config: Configuration = await discovery(new URL(issuer), cli.id, undefined, None(), {
      execute: [allowInsecureRequests],
      [customFetch]: (url, options) => fetch(url.replace(issuer, auth.url), options as RequestInit),
    });
    const code = await initiateDeviceAuthorization(config, {
      scope: 'openid offline_access profile:read items:read',
    });
    assert.equal(code.verification_uri, `${issuer}/device`);
    assert.equal(code.verification_uri_complete, `${issuer}/device?user_code=${code.user_code}`);
    assert.equal(code.interval, 5);
    assert.equal(code.expires_in, 600);
    assert.match(code.user_code, /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
    assert.ok(code.device_code.length >= 43);
    const page = await allowDevice(auth.browser(), code);
    assert.match(page.text, /Device connected/);
    // The interval is the library's to keep; without waiting it is the same exchange.
    const tokens = await pollDeviceAuthorizationGrant(config, { ...code, interval: 0.01 });
    assert.equal(tokens.scope, 'openid profile:read items:read');
    assert.equal(tokens.claims()?.aud, cli.id);
    assert.equal((await auth.userinfo(tokens.access_token)).status, 200);
    const refreshed = await auth.refresh(String(tokens.refresh_token), {}, cli);
    assert.equal(refreshed.status, 200);
  });

  test('A29 a device that asks too soon is told to slow down, five seconds more each time', async () => {
    const { device_code } = await requestCode(auth);
    const ask = async () => (await poll(auth, device_code)).body.error;
    assert.equal(await ask(), 'authorization_pending');
    assert.equal(await ask(), 'slow_down');
    await passTime(9);
    assert.equal(await ask(), 'slow_down', 'ten seconds are due by now');
    await passTime(5);
    assert.equal(await ask(), 'slow_down', 'fifteen seconds are due since the last question in time');
    await passTime(7);
    assert.equal(await ask(), 'authorization_pending');
    await passTime(19);
    assert.equal(await ask(), 'slow_down', 'the longer interval stays');
  });

  test('A29 of many questions at once one is in time', async () => {
    const { device_code } = await requestCode(auth);
    const answers = await Promise.all(Array.from({ length: 10 }, () => poll(auth, device_code)));
    const pending = answers.filter(({ body }) => body.error === 'authorization_pending');
    assert.equal(pending.length, 1);
    assert.ok(answers.every(({ status }) => status === 400));
  });
});
