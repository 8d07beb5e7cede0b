import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { sql } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import {
  authorizeUrl,
  basic,
  demoWeb,
  explorer,
  redemption,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

suite('refresh', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  test('a refresh token gives new tokens of the same grant, and is replaced', async () => {
    const first = await auth.signedIn();
    const { status, body } = await auth.refresh(first.refreshToken);
    assert.equal(status, 200);
    assert.notEqual(body.refresh_token, first.refreshToken);
    assert.equal(decodeJwt(body.access_token).gid, decodeJwt(first.accessToken).gid);
    assert.equal((await auth.refresh(body.refresh_token)).status, 200);
  });

  test('A22 a refresh token used twice ends the whole family, the newest included, and a new sign-in works', async () => {
    const browser = auth.browser();
    const first = await auth.signedIn('alice', browser);
    const second = (await auth.refresh(first.refreshToken)).body;
    assert.equal((await auth.refresh(first.refreshToken)).body.error, 'invalid_grant');

    assert.equal((await auth.refresh(second.refresh_token)).body.error, 'invalid_grant');
    for (const token of [first.accessToken, second.access_token]) {
      assert.equal(await auth.isActive(token, demoWeb), false);
      assert.equal(auth.isDenied(token), true);
    }
    const again = await auth.signedIn('alice', browser);
    assert.equal((await auth.refresh(again.refreshToken)).status, 200);
  });

  test('A24 another client cannot use it, and its owner still can', async () => {
    const { refreshToken } = await auth.signedIn();
    assert.equal((await auth.refresh(refreshToken, {}, explorer)).body.error, 'invalid_grant');
    assert.equal((await auth.refresh(refreshToken)).status, 200);
  });

  test('A25 never gives more than was granted', async () => {
    const { refreshToken } = await auth.signedIn();
    assert.equal(
      (await auth.refresh(refreshToken, { scope: 'items:read items:write' })).body.error,
      'invalid_scope',
    );
  });

  test('A25 a target that is refused uses nothing up', async () => {
    const { refreshToken } = await auth.signedIn();
    const forms = {
      refreshToken: { grant_type: 'refresh_token', refresh_token: refreshToken },
      code: redemption(await signIn(auth.browser())),
    };
    for (const [name, form] of Object.entries(forms)) {
      for (const resource of ['urn:gatehouse:items', 'nonsense', 'urn:gatehouse:api#']) {
        const { status, body } = await auth.token({ ...form, resource }, demoWeb);
        assert.deepEqual({ status, error: body.error }, { status: 400, error: 'invalid_target' }, name);
      }
      const twice = `${new URLSearchParams(form)}&resource=urn:gatehouse:api&resource=urn:gatehouse:items`;
      const headers = { 'content-type': 'application/x-www-form-urlencoded', authorization: basic(demoWeb) };
      const several = await auth.send('/token', { method: 'POST', body: twice, headers });
      assert.equal(several.body.error, 'invalid_target', name);
      const named = await auth.token({ ...form, resource: 'urn:gatehouse:api' }, demoWeb);
      assert.equal(named.status, 200, name);
    }
  });

  test('A25 gives less when less is asked for', async () => {
    const { refreshToken } = await auth.signedIn();
    const { body } = await auth.refresh(refreshToken, { scope: 'items:read' });
    assert.equal(body.scope, 'items:read');
  });

  test('A26 ends with the grant’s absolute lifetime, however often it and the session were used', async (t) => {
    const browser = auth.browser();
    const { refreshToken } = await auth.signedIn('alice', browser);
    const day = 24 * 60 * 60 * 1000;
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 10 * day });
    const { status, body } = await auth.refresh(refreshToken);
    assert.equal(status, 200);
    const silent = authorizeUrl({ prompt: 'none', scope: 'openid items:read' });
    assert.match((await browser.open(silent)).redirect ?? '', /[?&]code=/);
    t.mock.timers.setTime(Date.now() + 5 * day);
    assert.equal((await auth.refresh(body.refresh_token)).body.error, 'invalid_grant');
  });

  test('J36 a disabled account cannot refresh', async () => {
    const { refreshToken, accessToken } = await auth.signedIn('bob');
    await auth.db.execute(sql`update auth.accounts set disabled_at = now() where username = 'bob'`);
    assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
    assert.equal((await auth.userinfo(accessToken)).status, 401);
    assert.equal(await auth.isActive(accessToken, demoWeb), false);
  });
});
