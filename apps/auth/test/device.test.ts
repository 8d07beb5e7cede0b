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
import { tidy } from '../src/housekeeping.ts';
import { allowDevice, cli, enterCode, poll, requestCode } from './device-flow.ts';
import {
  demoWeb,
  explorer,
  issuer,
  pkce,
  redemption,
  reporting,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

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

  test('A29 an approved device gets its tokens whenever it asks, and another device has its own pace', async () => {
    const [code, other] = [await requestCode(auth), await requestCode(auth)];
    await poll(auth, code.device_code);
    assert.equal((await poll(auth, code.device_code)).body.error, 'slow_down');
    assert.equal((await poll(auth, other.device_code)).body.error, 'authorization_pending');
    await allowDevice(auth.browser(), code);
    assert.equal((await poll(auth, code.device_code)).status, 200);
  });

  test('A30 an approved code, asked for 20 times at once, gives exactly one answer, and then no access', async () => {
    for (let round = 0; round < 3; round += 1) {
      const code = await requestCode(auth, 'openid offline_access items:read');
      await allowDevice(auth.browser(), code);
      const answers = await Promise.all(Array.from({ length: 20 }, () => poll(auth, code.device_code)));
      const [winner, ...others] = answers.filter(({ status }) => status === 200);
      assert.ok(winner && others.length === 0, `${others.length + 1} of 20 got tokens`);
      for (const { status, body } of answers)
        assert.ok(status === 200 || body.error === 'invalid_grant', body.error);
      assert.equal(auth.isDenied(winner.body.access_token), true);
      const { body } = await auth.refresh(winner.body.refresh_token, {}, cli);
      assert.equal(body.error, 'invalid_grant');
    }
  });

  test('A30 a code used again is refused, and what it gave dies', async () => {
    const code = await requestCode(auth);
    await allowDevice(auth.browser(), code);
    const { body: tokens } = await poll(auth, code.device_code);
    assert.equal(auth.isDenied(tokens.access_token), false);
    assert.equal((await poll(auth, code.device_code)).body.error, 'invalid_grant');
    assert.equal(auth.isDenied(tokens.access_token), true);
  });

  test('A30 denial is access_denied, wherever it comes, and the code is worth nothing after it', async () => {
    const atCode = await requestCode(auth);
    const browser = auth.browser();
    const question = await enterCode(browser, atCode.user_code);
    const refused = await browser.submit(question, {}, { button: 'This is not my device' });

    const atSignIn = await requestCode(auth);
    const signInPage = await browser.submit(
      await enterCode(browser, atSignIn.user_code),
      {},
      { button: 'Continue' },
    );
    const cancelled = await browser.submit(signInPage, {}, { button: 'Cancel' });

    const atConsent = await requestCode(auth);
    const login = await browser.submit(
      await enterCode(browser, atConsent.user_code),
      {},
      { button: 'Continue' },
    );
    const consent = await browser.submit(login, { username: 'bob', password: 'bob-demo-pass' });
    const denied = await browser.submit(consent, {}, { button: 'Deny' });

    for (const page of [refused, cancelled, denied]) {
      assert.equal(page.status, 200);
      assert.match(page.text, /<h1>Device not connected<\/h1>\n<p class="lead" role="status">/);
      assert.equal(page.forms.length, 0);
    }
    for (const { device_code, user_code } of [atCode, atSignIn, atConsent]) {
      assert.match((await enterCode(browser, user_code)).text, /has expired, or was used already/);
      assert.deepEqual((await poll(auth, device_code)).body.error, 'access_denied');
      assert.equal((await poll(auth, device_code)).body.error, 'invalid_grant');
    }
  });

  test('A30 an expired code is expired_token for the device, and wrong for the user', async (t) => {
    const code = await requestCode(auth);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 601_000 });
    await tidy(auth.db, { auditRetentionDays: 365 });
    assert.equal((await poll(auth, code.device_code)).body.error, 'expired_token');
    const page = await enterCode(auth.browser(), code.user_code);
    assert.equal(page.status, 400);
    assert.match(page.text, /role="alert">That code is not right, has expired/);
  });

  test('A35 only a client of the grant may ask for a code, or with one', async () => {
    const { device_code } = await requestCode(auth);
    for (const client of [explorer, demoWeb, reporting]) {
      const asked = await auth.post('/device/authorize', { scope: 'items:read' }, client);
      assert.deepEqual([asked.status, asked.body.error], [400, 'unauthorized_client'], client.id);
      assert.equal((await poll(auth, device_code, client)).body.error, 'unauthorized_client', client.id);
    }
    const nobody = await auth.post('/device/authorize', { scope: 'items:read' }, { id: 'nobody' });
    assert.deepEqual([nobody.status, nobody.body.error], [401, 'invalid_client']);
    const refused = await auth.post('/device/authorize', { scope: 'users:admin' }, cli);
    assert.equal(refused.body.error, 'invalid_scope');
    assert.equal((await poll(auth, device_code)).body.error, 'authorization_pending');
  });

  test('A54 a code of one kind is nothing in the place of another', async () => {
    const code = await requestCode(auth, 'openid offline_access items:read');
    await allowDevice(auth.browser(), code);
    const asCode = { grant_type: 'authorization_code', redirect_uri: 'http://127.0.0.1/callback' };
    const answers = [
      await auth.token({ ...asCode, code: code.device_code, code_verifier: pkce.verifier }, cli),
      await auth.refresh(code.device_code, {}, cli),
    ];
    const { body: tokens } = await poll(auth, code.device_code);
    const { code: webCode = '' } = redemption(await signIn(auth.browser()));
    const wrong = [
      tokens.refresh_token,
      tokens.access_token,
      webCode,
      code.user_code,
      `DeviceCode:${code.device_code}`,
      `${code.device_code}\r\n`,
      `${code.device_code}=`,
      'x'.repeat(10_000),
      '\0',
    ];
    for (const device_code of wrong) answers.push(await poll(auth, device_code));
    for (const { status, body } of answers)
      assert.deepEqual([status, body.error], [400, 'invalid_grant'], JSON.stringify(body));
    assert.equal(auth.isDenied(tokens.access_token), false);
  });

  test('a device that names no scope gets no code', async () => {
    for (const form of [{}, { scope: '' }, { scope: 'offline_access' }] as Record<string, string>[]) {
      const { status, body } = await auth.post('/device/authorize', form, cli);
      assert.deepEqual([status, body.error], [400, 'invalid_scope']);
    }
  });

  test('A14 A16 a parameter sent twice, in the address or as JSON is refused', async () => {
    const twice = 'client_id=demo-cli&scope=items:read&scope=items:read';
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    const post = (path: string, body: string, headers: Record<string, string> = form) =>
      auth.send(path, { method: 'POST', body, headers });
    assert.equal((await post('/device/authorize', twice)).body.error, 'invalid_request');
    assert.equal((await post('/device/authorize?client_id=demo-cli&scope=items:read', '')).status, 401);
    const json = { 'content-type': 'application/json' };
    assert.equal((await post('/device/authorize', '{"client_id":"demo-cli"}', json)).status, 400);
    const get = await auth.send('/device/authorize?client_id=demo-cli');
    assert.deepEqual([get.status, get.headers.get('allow')], [405, 'POST, OPTIONS']);
  });

  test('A17 the answer with the codes is never stored', async () => {
    const { headers, body } = await auth.post('/device/authorize', { scope: 'items:read' }, cli);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.deepEqual(Object.keys(body).sort(), [
      'device_code',
      'expires_in',
      'interval',
      'user_code',
      'verification_uri',
      'verification_uri_complete',
    ]);
  });
});
