import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { decodeJwt } from 'jose';
import { demoWeb, firstParty, orders, startTestAuth, type TestAuth } from './start-test-auth.ts';

const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';

suite('token exchange', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  const exchange = (subject_token: string, changes: Record<string, string> = {}, client = orders) =>
    auth.token(
      {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token,
        subject_token_type: accessTokenType,
        audience: 'urn:gatehouse:items',
        scope: 'items:read',
        ...changes,
      },
      client,
    );
  const subjectToken = async (scope = 'orders:write items:read') =>
    (await auth.password({ scope })).body.access_token as string;

  test('J33 gives a narrower token that names the caller and stays the subject’s', async () => {
    const subject = await subjectToken();
    const { status, body } = await exchange(subject, { scope: 'items:read items:reserve' });
    assert.equal(status, 200);
    assert.equal(body.issued_token_type, accessTokenType);
    assert.equal(body.refresh_token, undefined);
    const [from, to] = [decodeJwt(subject), decodeJwt(body.access_token)];
    assert.deepEqual(to.act, { sub: orders.id });
    assert.equal(to.client_id, orders.id);
    assert.equal(to.aud, 'urn:gatehouse:items');
    assert.equal(to.scope, 'items:read items:reserve');
    assert.equal(to.sub, from.sub);
    assert.equal(to.gid, from.gid);
    assert.deepEqual(to.roles, from.roles);
    assert.notEqual(to.jti, from.jti);
  });

  test('A33 the token never outlives the one it came from', async (t) => {
    const subject = await subjectToken();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 200_000 });
    const { body } = await exchange(subject);
    assert.equal(decodeJwt(body.access_token).exp, decodeJwt(subject).exp);
    assert.ok(body.expires_in <= 100);
    t.mock.timers.setTime(Date.now() + 101_000);
    assert.equal((await exchange(subject)).body.error, 'invalid_grant');
  });

  test('A33 refuses what the policy does not name', async () => {
    const subject = await subjectToken();
    const refusals: [Record<string, string>, string][] = [
      [{ scope: 'items:write' }, 'invalid_scope'],
      [{ scope: 'items:read orders:write' }, 'invalid_scope'],
      [{ scope: '' }, 'invalid_scope'],
      [{ audience: 'urn:gatehouse:api' }, 'invalid_target'],
      [{ audience: '' }, 'invalid_target'],
      [{ resource: 'urn:gatehouse:items' }, 'invalid_target'],
      [{ resource: 'urn:gatehouse:api' }, 'invalid_target'],
      [{ actor_token: subject }, 'invalid_request'],
      [{ subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' }, 'invalid_request'],
      [{ requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }, 'invalid_request'],
      [{ subject_token: '' }, 'invalid_request'],
    ];
    for (const [changes, error] of refusals) {
      const { status, body } = await exchange(subject, changes);
      assert.equal(status, 400);
      assert.equal(body.error, error, JSON.stringify(changes));
    }
    assert.equal((await exchange(subject, {}, demoWeb)).body.error, 'unauthorized_client');
    assert.equal((await exchange(await subjectToken('items:read'))).body.error, 'invalid_scope');
  });

  test('A33 refuses subject tokens that are not a person’s live token of the API', async () => {
    const subject = await subjectToken();
    const exchanged = (await exchange(subject)).body.access_token;
    const { idToken, refreshToken } = await auth.signedIn();
    for (const token of ['junk', exchanged, idToken, refreshToken, `${subject}=`]) {
      assert.equal((await exchange(token)).body.error, 'invalid_grant', token);
    }
    await auth.post('/revoke', { token: subject }, firstParty);
    assert.equal((await exchange(subject)).body.error, 'invalid_grant');
  });

  test('an exchanged token dies with its grant, and revoking it leaves the grant alive', async () => {
    const subject = await subjectToken();
    const [one, other] = [
      (await exchange(subject)).body.access_token,
      (await exchange(subject)).body.access_token,
    ];
    assert.equal((await auth.post('/revoke', { token: one }, orders)).status, 200);
    assert.equal(await auth.isActive(one, orders), false);
    assert.equal(await auth.isActive(other, orders), true);
    assert.equal(await auth.isActive(subject, firstParty), true);
    await auth.post('/revoke', { token: subject }, firstParty);
    assert.equal(await auth.isActive(other, orders), false);
  });
});
