import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { decodeJwt } from 'jose';
import { firstParty, startTestAuth, type TestAuth } from './start-test-auth.ts';

suite('password grant', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  test('the password grant gives the tutorials’ token, which has a grant of its own', async () => {
    const { status, body } = await auth.password();
    assert.equal(status, 200);
    assert.equal(body.scope, 'profile:read items:read');
    assert.equal(body.refresh_token, undefined);
    const claims = decodeJwt(body.access_token);
    assert.equal(claims.sub, '70d00000-0000-4000-8000-000000000005');
    assert.equal(claims.client_id, firstParty.id);
    assert.deepEqual(claims.roles, ['customer']);
    assert.notEqual(claims.gid, decodeJwt((await auth.password()).body.access_token).gid);

    assert.equal((await auth.post('/revoke', { token: body.access_token }, firstParty)).status, 200);
    assert.equal(await auth.isActive(body.access_token, firstParty), false);
    assert.equal(await auth.isActive((await auth.password()).body.access_token, firstParty), true);
  });

  test('the password grant gives a refresh token for offline_access, and the refresh keeps the grant', async () => {
    const { body } = await auth.password({ scope: 'openid profile offline_access items:read' });
    const refreshed = await auth.refresh(body.refresh_token, {}, firstParty);
    assert.equal(refreshed.status, 200);
    assert.equal(decodeJwt(refreshed.body.access_token).gid, decodeJwt(body.access_token).gid);
    assert.equal((await auth.userinfo(refreshed.body.access_token)).body.preferred_username, 'johndoe');
  });

  test('the password grant answers alike to a wrong password, an unknown name and a disabled account', async () => {
    const answers = await Promise.all([
      auth.password({ password: 'wrong' }),
      auth.password({ username: 'nobody' }),
      auth.password({ username: 'carol', password: 'carol-demo-pass' }),
    ]);
    for (const { status, body } of answers) {
      assert.equal(status, 400);
      assert.deepEqual(body, answers[0]?.body);
      assert.equal(body.error, 'invalid_grant');
    }
    assert.equal((await auth.password({ username: '' })).body.error, 'invalid_request');
    assert.equal((await auth.password({ scope: 'items:steal' })).body.error, 'invalid_scope');
    assert.equal((await auth.password({ scope: '' })).body.error, 'invalid_scope');
  });
});
