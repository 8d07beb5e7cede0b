import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { decodeJwt } from 'jose';
import { createExchangedTokens } from '../src/grants/exchanged-tokens.ts';
import { exchangePolicies } from '../src/grants/token-exchange.ts';
import { createAdapterFactory } from '../src/protocol/adapter.ts';
import { createVault } from '../src/protocol/vault.ts';
import { createPresentedTokens } from '../src/revocation/presented-tokens.ts';
import type { Revocations } from '../src/revocation/revocation.ts';
import { createSessions } from '../src/sessions/sessions.ts';
import {
  demoWeb,
  encryptionKey,
  firstParty,
  orders,
  reporting,
  startTestAuth,
  type TestAuth,
  users,
} from './start-test-auth.ts';

const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';

// As if the users service were called by the items service with a token of the orders service.
const secondHop = {
  client: users.id,
  subjectAudience: 'urn:gatehouse:items',
  audience: 'urn:gatehouse:third',
  needs: ['items:reserve'],
  allows: ['items:read'],
};

suite('token exchange', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth({ exchangePolicies: [...exchangePolicies, secondHop] });
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

  test('the token is dated no earlier than the one it came from, so that no end of access before that takes it', async (t) => {
    const subject = await subjectToken();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() - 3_000 });
    const { body } = await exchange(subject);
    assert.equal(decodeJwt(body.access_token).iat, decodeJwt(subject).iat);
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
    const { body } = await auth.token({ grant_type: 'client_credentials', scope: 'items:read' }, reporting);
    for (const token of ['junk', exchanged, idToken, refreshToken, `${subject}=`, body.access_token]) {
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

  /** A token that was exchanged for one that was exchanged for `subject`, and that one. */
  async function exchangeTwice(subject: string) {
    const first = await exchange(subject, { scope: 'items:read items:reserve' });
    const second = await exchange(first.body.access_token, { audience: secondHop.audience }, users);
    assert.equal(second.status, 200, JSON.stringify(second.body));
    return { first: first.body.access_token, second: second.body.access_token };
  }

  test('J33 a token exchanged twice names both callers, the present one outermost', async () => {
    const subject = await subjectToken();
    const { second } = await exchangeTwice(subject);
    const { act, sub, client_id, aud, scope, roles } = decodeJwt(second);
    assert.deepEqual(act, { sub: users.id, act: { sub: orders.id } });
    assert.deepEqual(
      { sub, client_id, aud, scope, roles },
      {
        sub: decodeJwt(subject).sub,
        client_id: users.id,
        aud: secondHop.audience,
        scope: 'items:read',
        roles: decodeJwt(subject).roles,
      },
    );
    const { body } = await auth.post('/introspect', { token: second }, users);
    assert.deepEqual(body.act, act);
  });

  test('A33 a second exchange gives no more than its policy, from no other token, and lives no longer', async (t) => {
    const subject = await subjectToken();
    const audience = secondHop.audience;
    const first = (await exchange(subject, { scope: 'items:read items:reserve' })).body.access_token;
    const less = (await exchange(subject)).body.access_token;
    const refusals = [
      await exchange(subject, { audience }, users),
      await exchange(less, { audience }, users),
      await exchange(first, { audience, scope: 'items:reserve' }, users),
      await exchange(first, { audience }, orders),
      await exchange((await exchangeTwice(subject)).second, { audience }, users),
    ];
    assert.deepEqual(
      refusals.map(({ body }) => body.error),
      ['invalid_grant', 'invalid_scope', 'invalid_scope', 'invalid_target', 'invalid_grant'],
    );
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 200_000 });
    const { second } = await exchangeTwice(subject);
    assert.equal(decodeJwt(second).exp, decodeJwt(subject).exp);
  });

  test('a token exchanged twice dies with the one in the middle and with the first, and kills neither', async () => {
    const subject = await subjectToken();
    const one = await exchangeTwice(subject);
    const other = await exchangeTwice(subject);
    const third = await exchangeTwice(subject);

    await auth.post('/revoke', { token: one.first }, orders);
    assert.equal(await auth.isActive(one.first, orders), false);
    assert.equal(await auth.isActive(one.second, users), false);
    assert.equal(auth.isDenied(one.second), true);
    const again = await exchange(one.first, { audience: secondHop.audience }, users);
    assert.equal(again.body.error, 'invalid_grant');

    await auth.post('/revoke', { token: other.second }, users);
    assert.equal(await auth.isActive(other.second, users), false);
    assert.equal(await auth.isActive(other.first, orders), true);

    await auth.post('/revoke', { token: subject }, firstParty);
    assert.equal(await auth.isActive(third.second, users), false);
    assert.equal(auth.isDenied(third.second), true);
  });

  test('a token that is exchanged while the one in the middle is revoked ends with it', async () => {
    const vault = createVault(encryptionKey);
    const exchanged = createExchangedTokens(auth.db, vault);
    const expiresIn = 60;
    await exchanged.remember({ jti: 'early', from: 'middle', expiresIn });
    await exchanged.remember({ jti: 'last', from: 'late', expiresIn });
    const ended: string[] = [];
    const revocations: Revocations = {
      async revoke(target) {
        assert.ok('jti' in target);
        if (target.jti === 'middle') await exchanged.remember({ jti: 'late', from: 'middle', expiresIn });
        ended.push(target.jti);
      },
      revokeAll: () => assert.fail('one token at a time'),
      isRevoked: async ({ jti }) => ended.includes(jti),
      list: async () => ({ size: 0, newest: [] }),
      deliveryAge: () => 0,
      deliver: async () => {},
      close: async () => {},
    };
    const store = createAdapterFactory({
      db: auth.db,
      vault,
      revocations,
      presented: createPresentedTokens(),
      sessions: createSessions({ db: auth.db, vault, deliveries: { add: async () => {} } }),
      refreshGraceMs: 0,
      audit: { record: async () => {}, count: () => {}, close: async () => {} },
    });
    await store('AccessToken').destroy('middle');
    assert.deepEqual(ended, ['early', 'middle', 'last', 'late']);
  });
});
