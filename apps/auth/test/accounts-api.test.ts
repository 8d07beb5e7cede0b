import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { demoAccounts } from '@gatehouse/demo-data';
import { createRedisDenylistReader, type DenylistReader } from '@gatehouse/denylist';
import { realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { eq, sql } from 'drizzle-orm';
import { guardAccounts } from '../src/accounts/accounts-guard.ts';
import { accounts } from '../src/schema.ts';
import {
  type Credentials,
  demoWeb,
  firstParty,
  issuer,
  orders,
  referenceOf,
  startTestAuth,
  type TestAuth,
  users,
} from './start-test-auth.ts';

const { admin, alice, bob } = demoAccounts;

/** What the users service does at this server, and how people sign in. */
function accountsOf(auth: TestAuth) {
  const signIn = (username: string, scope: string) =>
    auth.password({ username, password: `${username}-demo-pass`, scope });
  const tokenOf = async (username: string, scope: string): Promise<string> => {
    const { status, body } = await signIn(username, scope);
    assert.equal(status, 200, JSON.stringify(body));
    return body.access_token;
  };
  const exchange = (
    subject: string,
    scope: string,
    client: Credentials = users,
    audience = 'urn:gatehouse:accounts',
  ) =>
    auth.token(
      {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: subject,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        audience,
        scope,
      },
      client,
    );
  const exchanged = async (subject: string, scope: string): Promise<string> => {
    const { status, body } = await exchange(subject, scope);
    assert.equal(status, 200, JSON.stringify(body));
    return body.access_token;
  };
  return {
    signIn,
    tokenOf,
    exchange,
    exchanged,
    asAdmin: async () => exchanged(await tokenOf('admin', 'users:admin'), 'accounts:admin'),
    call: (method: string, path: string, token?: string, json?: unknown) =>
      auth.send(path, {
        method,
        headers: {
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(json !== undefined && { 'content-type': 'application/json' }),
        },
        ...(json !== undefined && { body: JSON.stringify(json) }),
      }),
  };
}

const adminRoutes = [
  ['GET', '/accounts'],
  ['GET', `/accounts/${bob.id}`],
  ['GET', `/accounts/${bob.id}/audit`],
  ['POST', `/accounts/${bob.id}/disable`],
  ['POST', `/accounts/${bob.id}/enable`],
  ['POST', `/accounts/${bob.id}/logout`],
  ['PUT', `/accounts/${bob.id}/roles`, { roles: ['customer'] }],
] as const;

suite('the accounts API', () => {
  let auth: TestAuth;
  let api: ReturnType<typeof accountsOf>;
  before(async () => {
    auth = await startTestAuth();
    api = accountsOf(auth);
  });
  after(() => auth.close());

  const setAdmin = (change: Partial<typeof accounts.$inferInsert>) =>
    auth.db.update(accounts).set(change).where(eq(accounts.id, admin.id));

  test('J32 only tokens made for it open it: those of the API and of other services are 401, and so is none', async () => {
    const subject = await api.tokenOf('admin', 'users:admin profile:read orders:write');
    const forItems = (await api.exchange(subject, 'items:read', orders, 'urn:gatehouse:items')).body
      .access_token;
    for (const token of [undefined, subject, forItems, 'junk']) {
      for (const [method, path, json] of [...adminRoutes, ['GET', '/accounts/me', undefined] as const]) {
        const answer = await api.call(method, path, token, json);
        assert.equal(answer.status, 401, `${method} ${path}`);
        assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/);
      }
    }
  });

  test('Z03 Z05 a token for reading the own account reads it, and opens nothing of the administrators', async () => {
    for (const scope of ['profile:read', 'profile:write']) {
      const token = await api.exchanged(await api.tokenOf('bob', scope), 'accounts:read');
      const { status, body } = await api.call('GET', '/accounts/me', token);
      assert.equal(status, 200);
      const { createdAt, ...rest } = body;
      assert.deepEqual(rest, bob);
      assert.equal(new Date(createdAt).toISOString(), createdAt);
      for (const [method, path, json] of adminRoutes) {
        assert.equal((await api.call(method, path, token, json)).status, 403, `${method} ${path}`);
      }
    }
    assert.equal((await api.call('GET', '/accounts/me', await api.asAdmin())).status, 403);
  });

  test('A33 the rights of administrators come from users:admin alone, and to the users service alone', async () => {
    const plain = await api.tokenOf('admin', 'profile:read');
    const full = await api.tokenOf('admin', 'users:admin profile:read');
    const errorOf = async (...exchange: Parameters<typeof api.exchange>) =>
      (await api.exchange(...exchange)).body.error;
    assert.equal(await errorOf(plain, 'accounts:admin'), 'invalid_scope');
    assert.equal(await errorOf(await api.tokenOf('admin', 'users:admin'), 'accounts:read'), 'invalid_scope');
    assert.equal(await errorOf(full, 'accounts:read accounts:admin'), 'invalid_scope');
    assert.equal(await errorOf(full, 'users:admin'), 'invalid_scope');
    assert.equal(await errorOf(full, ''), 'invalid_scope');
    assert.equal(await errorOf(full, 'accounts:admin', orders), 'invalid_target');
    assert.equal(await errorOf(full, 'items:read', users, 'urn:gatehouse:items'), 'invalid_target');
    assert.equal(await errorOf(full, 'accounts:admin', demoWeb), 'unauthorized_client');
  });

  test('Z03 an exchange by a customer who asked for users:admin opens nothing', async () => {
    const token = await api.exchanged(await api.tokenOf('bob', 'users:admin'), 'accounts:admin');
    for (const [method, path, json] of adminRoutes) {
      assert.equal((await api.call(method, path, token, json)).status, 403, `${method} ${path}`);
    }
  });

  test('what the account is now counts, not what its token says', async () => {
    const token = await api.asAdmin();
    assert.equal((await api.call('GET', '/accounts', token)).status, 200);
    await setAdmin({ roles: ['customer'] });
    for (const [method, path, json] of adminRoutes) {
      assert.equal((await api.call(method, path, token, json)).status, 403, `${method} ${path}`);
    }
    await setAdmin({ roles: ['customer', 'admin'], disabledAt: new Date() });
    assert.equal((await api.call('GET', '/accounts', token)).status, 401);
    await setAdmin({ disabledAt: null });
    assert.equal((await api.call('GET', '/accounts', token)).status, 200);
  });

  test('J37 a token whose subject signs out is refused by the durable list', async () => {
    const subject = await api.tokenOf('admin', 'users:admin');
    const token = await api.exchanged(subject, 'accounts:admin');
    assert.equal((await auth.post('/revoke', { token: subject }, firstParty)).status, 200);
    assert.equal((await api.call('GET', '/accounts', token)).status, 401);
  });

  test('J37 a caller who was let in is live until the token expires, and no longer', async () => {
    const guard = guardAccounts(
      {
        issuer,
        publicKeys: () => ({ keys: [] }),
        revocations: { isRevoked: async () => false },
        accounts: { find: async () => ({ disabled: false, roles: ['admin'] }) },
        proofIds: { add: async () => true },
        metrics: { countVerdict: () => {} },
      } as never,
      { audience: 'urn:gatehouse:api', adminScope: 'users:admin' },
    );
    const isLive = (secondsLeft: number) =>
      guard.isLive({
        subject: admin.id,
        scopes: new Set(['users:admin']),
        expiresAt: Date.now() / 1000 + secondsLeft,
      } as never);
    assert.equal(await isLive(60), true);
    assert.equal(await isLive(-1), false);
  });

  test('J37 a token that is revoked by itself is refused, and another of the same subject is not', async () => {
    const subject = await api.tokenOf('admin', 'users:admin');
    const [token, other] = [
      await api.exchanged(subject, 'accounts:admin'),
      await api.exchanged(subject, 'accounts:admin'),
    ];
    assert.equal((await auth.post('/revoke', { token }, users)).status, 200);
    assert.equal((await api.call('GET', '/accounts', token)).status, 401);
    assert.equal((await api.call('GET', '/accounts', other)).status, 200);
  });

  test('an act whose record fails has not happened, and nothing of it has', async () => {
    const { body } = await api.signIn('alice', 'profile:read offline_access');
    const token = await api.asAdmin();
    await auth.db.execute(
      sql`alter table auth.audit_events add constraint no_room check (event not in ('account-disable', 'roles-change')) not valid`,
    );
    try {
      assert.equal((await api.call('POST', `/accounts/${alice.id}/disable`, token)).status, 500);
      const roles = { roles: ['admin'] };
      assert.equal((await api.call('PUT', `/accounts/${alice.id}/roles`, token, roles)).status, 500);
    } finally {
      await auth.db.execute(sql`alter table auth.audit_events drop constraint no_room`);
    }
    const { body: account } = await api.call('GET', `/accounts/${alice.id}`, token);
    assert.deepEqual([account.disabled, account.roles], [false, ['customer']]);
    assert.equal(auth.isDenied(body.access_token), false);
    assert.equal((await auth.refresh(body.refresh_token, {}, firstParty)).status, 200);
  });

  test('the list is of JSON and pages alone: other methods are 405, and nothing is at other spellings', async () => {
    const token = await api.asAdmin();
    const answer = await api.call('DELETE', `/accounts/${bob.id}`, token);
    assert.deepEqual([answer.status, answer.headers.get('allow')], [405, 'GET, HEAD']);
    for (const path of ['/accounts/', '/Accounts', `/accounts/${bob.id}/`]) {
      assert.equal((await api.call('GET', path, token)).status, 404, path);
    }
  });
});

suite('acts on accounts, two processes on one PostgreSQL and one Redis', {
  skip: realServer('postgres').skip || realServer('redis', { own: true }).skip,
}, () => {
  /** Waits until a reader that can be trusted names the token. */
  async function untilDenied(reader: DenylistReader, token: string): Promise<void> {
    for (const until = Date.now() + 10_000; Date.now() < until; await delay(20)) {
      try {
        if (reader.isRevoked(referenceOf(token))) return;
      } catch {
        // It has to become trusted first.
      }
    }
    assert.fail('the token is not on the denylist');
  }

  test('J36 R24 R25 a disabled account is out everywhere, whatever Redis forgets, and the act can be repeated', async (t) => {
    const [postgres, redis] = await Promise.all([startPostgres(t), startRedis(t, { own: true })]);
    const start = () => startTestAuth({ databaseUrl: postgres.url, redisUrl: redis.url, ownProcess: true });
    const [one, other] = await Promise.all([start(), start()]);
    const reader = createRedisDenylistReader({ url: redis.url });
    t.after(async () => {
      await reader.close();
      await Promise.all([one.close(), other.close()]);
    });
    await reader.ready();
    const [here, there] = [accountsOf(one), accountsOf(other)];
    const { body: tokens } = await there.signIn('bob', 'profile:read offline_access');
    const live = await here.tokenOf('alice', 'profile:read');
    const adminToken = await here.asAdmin();
    const disable = () => here.call('POST', `/accounts/${bob.id}/disable`, adminToken);

    // Redis is away: it is done, but not everybody can know, and the answer says so.
    await redis.kill();
    const failed = await disable();
    assert.equal(failed.status, 503);
    assert.ok(failed.headers.get('retry-after'));
    assert.equal(await other.isActive(tokens.access_token, firstParty), false);
    assert.equal((await other.refresh(tokens.refresh_token, {}, firstParty)).body.error, 'invalid_grant');
    assert.equal((await there.signIn('bob', 'profile:read')).body.error, 'invalid_grant');

    // It comes back empty, and is told by itself; then the act can be repeated.
    await redis.restart();
    await untilDenied(reader, tokens.access_token);
    assert.equal(reader.isRevoked(referenceOf(live)), false);
    for (let tries = 0; (await disable()).status !== 204; tries += 1) {
      assert.ok(tries < 100, 'the act cannot be repeated');
      await delay(50);
    }

    await redis.kill();
    await redis.restart();
    const fresh = createRedisDenylistReader({ url: redis.url });
    t.after(() => fresh.close());
    await fresh.ready();
    assert.equal(fresh.isRevoked(referenceOf(tokens.access_token)), true);
    assert.equal(fresh.isRevoked(referenceOf(live)), false);

    for (
      let tries = 0;
      (await here.call('POST', `/accounts/${bob.id}/enable`, adminToken)).status !== 204;
      tries += 1
    ) {
      assert.ok(tries < 100, 'the account cannot be enabled');
      await delay(50);
    }
    const again = await there.tokenOf('bob', 'profile:read');
    assert.equal(fresh.isRevoked(referenceOf(again)), false);
    assert.equal(await one.isActive(again, firstParty), true);
    assert.equal(await one.isActive(tokens.access_token, firstParty), false);
  });
});
