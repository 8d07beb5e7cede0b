import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { sql } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import { createAdapterFactory } from '../src/protocol/adapter.ts';
import { createVault } from '../src/protocol/vault.ts';
import { createPresentedTokens } from '../src/revocation/presented-tokens.ts';
import type { Revocations } from '../src/revocation/revocation.ts';
import { createSessions } from '../src/sessions/sessions.ts';
import {
  authorizeUrl,
  basic,
  demoWeb,
  encryptionKey,
  explorer,
  redemption,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const day = 24 * 60 * 60 * 1000;

suite('refresh', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  async function assertFamilyDead(newest: string, accessTokens: readonly string[]): Promise<void> {
    assert.equal((await auth.refresh(newest)).body.error, 'invalid_grant');
    for (const token of accessTokens) {
      assert.equal(await auth.isActive(token, demoWeb), false);
      assert.equal(auth.isDenied(token), true);
    }
  }

  test('a refresh token gives new tokens of the same grant, and is replaced', async () => {
    const first = await auth.signedIn();
    const { status, body } = await auth.refresh(first.refreshToken);
    assert.equal(status, 200);
    assert.notEqual(body.refresh_token, first.refreshToken);
    assert.equal(decodeJwt(body.access_token).gid, decodeJwt(first.accessToken).gid);
    assert.equal((await auth.refresh(body.refresh_token)).status, 200);
  });

  test('A23 two tabs at once, or a client that lost the answer, get the same successor', async () => {
    const { refreshToken } = await auth.signedIn();
    const tabs = await Promise.all([auth.refresh(refreshToken), auth.refresh(refreshToken)]);
    const answers = [...tabs, await auth.refresh(refreshToken)];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
    );
    const [successor, ...others] = new Set(answers.map(({ body }) => body.refresh_token));
    assert.deepEqual(others, []);
    assert.notEqual(successor, refreshToken);
    for (const { body } of answers) assert.equal(await auth.isActive(body.access_token, demoWeb), true);
    assert.equal((await auth.refresh(successor)).status, 200);
  });

  test('A23 twenty at once get one successor, twenty uses of that one the next, and the old ones end it all', async () => {
    const { refreshToken } = await auth.signedIn();
    let newest = refreshToken;
    for (let round = 0; round < 3; round += 1) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => auth.refresh(newest)));
      const successors = new Set(answers.map(({ body }) => body.refresh_token));
      assert.equal(successors.size, 1);
      [newest] = successors;
    }
    assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
    assert.equal((await auth.refresh(newest)).body.error, 'invalid_grant');
  });

  test('A22 a replaced refresh token, once its successor was used, ends the whole family, and a new sign-in works', async () => {
    const browser = auth.browser();
    const first = await auth.signedIn('alice', browser);
    const second = (await auth.refresh(first.refreshToken)).body;
    const third = (await auth.refresh(second.refresh_token)).body;
    assert.equal((await auth.refresh(first.refreshToken)).body.error, 'invalid_grant');
    await assertFamilyDead(third.refresh_token, [first.accessToken, second.access_token, third.access_token]);

    const again = await auth.signedIn('alice', browser);
    assert.equal((await auth.refresh(again.refreshToken)).status, 200);
  });

  test('A22 a replaced refresh token ends the whole family after the 10 s of grace, however often it was repeated', async (t) => {
    const first = await auth.signedIn();
    const now = Date.now();
    t.mock.timers.enable({ apis: ['Date'], now });
    const second = (await auth.refresh(first.refreshToken)).body;
    t.mock.timers.setTime(now + 9_999);
    const repeated = (await auth.refresh(first.refreshToken)).body;
    assert.equal(repeated.refresh_token, second.refresh_token);
    t.mock.timers.setTime(now + 10_000);
    assert.equal((await auth.refresh(first.refreshToken)).body.error, 'invalid_grant');
    await assertFamilyDead(second.refresh_token, [
      first.accessToken,
      second.access_token,
      repeated.access_token,
    ]);
  });

  test('A22 a replaced refresh token is not active when asked about, also within the grace', async () => {
    const { refreshToken } = await auth.signedIn();
    assert.equal(await auth.isActive(refreshToken, demoWeb), true);
    await auth.refresh(refreshToken);
    assert.equal(await auth.isActive(refreshToken, demoWeb), false);
  });

  test('A22 within the grace, what was revoked stays dead', async () => {
    const { refreshToken } = await auth.signedIn();
    const { body } = await auth.refresh(refreshToken);
    await auth.post('/revoke', { token: body.refresh_token }, demoWeb);
    assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
  });

  test('A23 a successor that comes after its family has ended is not stored', async () => {
    const vault = createVault(encryptionKey);
    const revocations = { revoke: async () => {}, isRevoked: async () => false } as unknown as Revocations;
    const presented = createPresentedTokens();
    const store = createAdapterFactory({
      db: auth.db,
      vault,
      revocations,
      presented,
      sessions: createSessions({ db: auth.db, vault, deliveries: { add: async () => {} } }),
      refreshGraceMs: 10_000,
      audit: { record: async () => {}, count: () => {}, close: async () => {} },
    });
    const tokens = store('RefreshToken');
    const late = { grantId: 'ended', rotations: 1 };
    await assert.rejects(tokens.upsert('late', late, 60), { error: 'invalid_grant' });
    assert.equal(await tokens.find('late'), undefined);
    await store('Grant').upsert('ended', {}, 60);
    await tokens.upsert('late', late, 60);
    assert.deepEqual(await tokens.find('late'), late);
  });

  test('A24 another client that repeats it within the grace gets nothing and ends nothing', async () => {
    const { refreshToken } = await auth.signedIn();
    const { body } = await auth.refresh(refreshToken);
    assert.equal((await auth.refresh(refreshToken, {}, explorer)).body.error, 'invalid_grant');
    assert.equal((await auth.refresh(body.refresh_token)).status, 200);
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

  test('A25 gives the whole of it again after less was asked for, also within the grace', async () => {
    const { refreshToken } = await auth.signedIn();
    const less = (await auth.refresh(refreshToken, { scope: 'items:read' })).body;
    const more = (await auth.refresh(refreshToken, { scope: 'items:read items:write' })).body;
    assert.equal(more.error, 'invalid_scope');
    const whole = (await auth.refresh(refreshToken)).body;
    assert.equal(whole.refresh_token, less.refresh_token);
    assert.match(whole.scope, /orders:write/);
  });

  test('A26 ends with the grant’s absolute lifetime of 14 days, as does the session, however often they were used', async (t) => {
    const browser = auth.browser();
    const { refreshToken } = await auth.signedIn('alice', browser);
    const start = Date.now();
    t.mock.timers.enable({ apis: ['Date'], now: start });
    let newest = refreshToken;
    const silent = authorizeUrl({ prompt: 'none', scope: 'openid items:read' });
    for (const days of [6, 12, 13.9]) {
      t.mock.timers.setTime(start + days * day);
      const { status, body } = await auth.refresh(newest);
      assert.equal(status, 200, `after ${days} days`);
      newest = body.refresh_token;
      assert.match((await browser.open(silent)).redirect ?? '', /[?&]code=/);
    }
    t.mock.timers.setTime(start + 14 * day + 1000);
    assert.equal((await auth.refresh(newest)).body.error, 'invalid_grant');
    for (const seconds of [2, 20]) {
      t.mock.timers.setTime(start + 14 * day + seconds * 1000);
      assert.match((await browser.open(silent)).redirect ?? '', /error=login_required/, `after ${seconds} s`);
    }
  });

  test('A26 ends when it was not used for 7 days', async (t) => {
    const [used, unused] = [await auth.signedIn(), await auth.signedIn()];
    const start = Date.now();
    t.mock.timers.enable({ apis: ['Date'], now: start + 6.9 * day });
    assert.equal((await auth.refresh(used.refreshToken)).status, 200);
    t.mock.timers.setTime(start + 7 * day + 1000);
    assert.equal((await auth.refresh(unused.refreshToken)).body.error, 'invalid_grant');
  });

  test('A26 says when it ends: with the grant, or a week from now', async (t) => {
    const { refreshToken } = await auth.signedIn();
    const start = Date.now();
    const ends = async (token: string) =>
      (await auth.post('/introspect', { token }, demoWeb)).body.exp * 1000 - start;
    assert.ok(Math.abs((await ends(refreshToken)) - 7 * day) < day / 100);
    t.mock.timers.enable({ apis: ['Date'], now: start + 6 * day });
    const second = (await auth.refresh(refreshToken)).body.refresh_token;
    t.mock.timers.setTime(start + 10 * day);
    const third = (await auth.refresh(second)).body.refresh_token;
    assert.ok(Math.abs((await ends(third)) - 14 * day) < day / 100);
  });

  test('J36 a disabled account cannot refresh', async () => {
    const { refreshToken, accessToken } = await auth.signedIn('bob');
    await auth.db.execute(sql`update auth.accounts set disabled_at = now() where username = 'bob'`);
    assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
    assert.equal((await auth.userinfo(accessToken)).status, 401);
    assert.equal(await auth.isActive(accessToken, demoWeb), false);
  });
});
