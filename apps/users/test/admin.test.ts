import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { assertProblem, pointersOf } from '@gatehouse/service-kit/testing';
import { startUsersAndAuth, type UsersAndAuth } from './start-with-auth.ts';

const { alice, bob, admin, carol, johndoe } = demoAccounts;
const adminRoutes = [
  ['GET', '/users'],
  ['GET', `/users/${bob.id}`],
  ['GET', `/users/${bob.id}/audit`],
  ['POST', `/users/${bob.id}/disable`],
  ['POST', `/users/${bob.id}/enable`],
  ['POST', `/users/${bob.id}/logout`],
  ['PUT', `/users/${bob.id}/roles`],
] as const;

suite('users, administered', () => {
  let system: UsersAndAuth;
  let adminToken: string;
  before(async () => {
    system = await startUsersAndAuth();
    adminToken = await system.tokenOf('admin', 'users:admin profile:read');
  });
  after(() => system.close());

  const asAdmin = (method: string, path: string, json?: unknown) =>
    system.call(method, path, { token: adminToken, ...(json !== undefined && { json }) });
  const jsonFor = (method: string) => (method === 'PUT' ? { json: { roles: ['customer'] } } : {});
  const isLive = async (token: string) => {
    const { status } = await system.call('GET', '/users/me', { token });
    assert.ok(status === 200 || status === 401, String(status));
    return status === 200;
  };
  const mayRefresh = async (refreshToken: string) => {
    const { status, body } = await system.refresh(refreshToken);
    if (status !== 200) assert.equal(body.error, 'invalid_grant');
    return status === 200;
  };
  const tokensOf = async (username: string) => {
    const { status, body } = await system.signIn(username, 'profile:read offline_access');
    assert.equal(status, 200, JSON.stringify(body));
    return { token: body.access_token as string, refreshToken: body.refresh_token as string };
  };

  test('Z03 a customer gets 403 on every route of administrators, whatever the token may do', async () => {
    const token = await system.tokenOf('bob', 'users:admin profile:read');
    for (const [method, path] of adminRoutes) {
      assertProblem(await system.call(method, path, { token, ...jsonFor(method) }), 403);
    }
    assert.equal((await asAdmin('GET', `/users/${bob.id}`)).body.disabled, false);
    assert.equal(await isLive(token), true);
  });

  test('Z05 an administrator needs the scope as well', async () => {
    const token = await system.tokenOf('admin', 'profile:read');
    for (const [method, path] of adminRoutes) {
      const answer = await system.call(method, path, { token, ...jsonFor(method) });
      assertProblem(answer, 403);
      assert.match(answer.headers.get('www-authenticate') ?? '', /scope="users:admin"/);
    }
  });

  test('Z08 GET /users lists all accounts in pages, newest first, with the declared fields and no other', async () => {
    const ids: string[] = [];
    for (let next: string | null = ''; next !== null; ) {
      const { status, body } = await asAdmin('GET', `/users?limit=2${next && `&cursor=${next}`}`);
      assert.equal(status, 200);
      assert.ok(body.items.length > 0 && body.items.length <= 2);
      ids.push(...body.items.map(({ id }: { id: string }) => id));
      next = body.next;
    }
    const expected = [alice, bob, admin, carol, johndoe].map(({ id }) => id);
    assert.deepEqual(ids.toSorted(), expected.toSorted());

    const { body } = await asAdmin('GET', '/users');
    assert.deepEqual(
      body.items.map(({ id }: { id: string }) => id),
      ids,
    );
    const { createdAt, ...rest } = body.items.find(({ id }: { id: string }) => id === carol.id);
    assert.deepEqual(rest, carol);
    assert.equal(new Date(createdAt).toISOString(), createdAt);
  });

  test('lists and ids that cannot be are 422 with a pointer, and an unknown user is 404', async () => {
    const faults: [string, string][] = [
      ['/users?limit=0', '/query/limit'],
      ['/users?limit=101', '/query/limit'],
      ['/users?cursor=1', '/query/cursor'],
      ['/users?name=x', '/query/name'],
      ['/users/bob', '/path/id'],
      [`/users/${bob.id}/audit?cursor=x`, '/query/cursor'],
    ];
    for (const [path, pointer] of faults) {
      const answer = await asAdmin('GET', path);
      assertProblem(answer, 422);
      assert.deepEqual(pointersOf(answer), [pointer]);
    }
    const nobody = randomUUID();
    for (const [method, path] of adminRoutes.slice(1)) {
      const { json } = { json: undefined, ...jsonFor(method) };
      assertProblem(await asAdmin(method, path.replace(bob.id, nobody), json), 404);
    }
  });

  test('GET /users/{id} tells the name that the user goes by now', async () => {
    const token = await system.tokenOf('alice', 'profile:write');
    const json = { displayName: 'Alice Liddell' };
    assert.equal((await system.call('PATCH', '/users/me', { token, json })).status, 200);
    const { body } = await asAdmin('GET', `/users/${alice.id}`);
    assert.deepEqual([body.username, body.displayName], ['alice', 'Alice Liddell']);
  });

  test('J36 A26 to disable a user ends its tokens at once, and it signs in no more until it is enabled', async () => {
    const { token, refreshToken } = await tokensOf('bob');
    const untouched = await tokensOf('alice');
    assert.equal(await isLive(token), true);
    const { status, body } = await asAdmin('POST', `/users/${bob.id}/disable`);
    assert.deepEqual([status, body], [204, '']);
    assert.equal(await isLive(token), false);
    assert.equal(await mayRefresh(refreshToken), false);
    assert.equal((await system.signIn('bob', 'profile:read')).body.error, 'invalid_grant');
    assert.equal((await asAdmin('GET', `/users/${bob.id}`)).body.disabled, true);
    assert.equal(await isLive(untouched.token), true);
    // Again is no fault: the answer may have been lost.
    assert.equal((await asAdmin('POST', `/users/${bob.id}/disable`)).status, 204);

    assert.equal((await asAdmin('POST', `/users/${bob.id}/enable`)).status, 204);
    assert.equal(await mayRefresh(refreshToken), false);
    assert.equal(await isLive(token), false);
    // Within the second of the revocation, and live nevertheless.
    const again = await tokensOf('bob');
    assert.equal(await isLive(again.token), true);
    assert.equal(await mayRefresh(again.refreshToken), true);
  });

  test('J36 new roles end the tokens that tell the old ones, and the next refresh tells the new', async () => {
    const { token, refreshToken } = await tokensOf('bob');
    assert.equal(
      (await asAdmin('PUT', `/users/${bob.id}/roles`, { roles: ['customer', 'admin'] })).status,
      204,
    );
    assert.equal(await isLive(token), false);
    const refreshed = await system.refresh(refreshToken);
    assert.equal(refreshed.status, 200);
    const { body } = await system.call('GET', '/users/me', { token: refreshed.body.access_token });
    assert.deepEqual(body.roles, ['customer', 'admin']);
    const promoted = await system.tokenOf('bob', 'users:admin');
    assert.equal((await system.call('GET', '/users', { token: promoted })).status, 200);

    assert.equal((await asAdmin('PUT', `/users/${bob.id}/roles`, { roles: ['customer'] })).status, 204);
    assertProblem(await system.call('GET', '/users', { token: promoted }), 401);
    const demoted = await system.tokenOf('bob', 'users:admin');
    assertProblem(await system.call('GET', '/users', { token: demoted }), 403);
  });

  test('A26 to sign a user out ends its tokens, and it can sign in again', async () => {
    const { token, refreshToken } = await tokensOf('bob');
    assert.equal((await asAdmin('POST', `/users/${bob.id}/logout`)).status, 204);
    assert.equal(await isLive(token), false);
    assert.equal(await mayRefresh(refreshToken), false);
    assert.equal(await isLive((await tokensOf('bob')).token), true);
  });

  test('roles are those there are, each once', async () => {
    for (const roles of [['root'], ['admin', 'admin'], 'admin', [1], [['admin']], null]) {
      const answer = await asAdmin('PUT', `/users/${bob.id}/roles`, { roles });
      assertProblem(answer, 422);
      for (const pointer of pointersOf(answer)) assert.match(pointer, /^#\/roles/);
    }
    assert.deepEqual((await asAdmin('GET', `/users/${bob.id}`)).body.roles, ['customer']);
  });

  test('nobody disables or demotes the own account, so one administrator is always left', async () => {
    assertProblem(await asAdmin('POST', `/users/${admin.id}/disable`), 409);
    assertProblem(
      await asAdmin('PUT', `/users/${admin.id.toUpperCase()}/roles`, { roles: ['customer'] }),
      409,
    );
    assert.equal(await isLive(adminToken), true);
    const { body } = await asAdmin('GET', `/users/${admin.id}`);
    assert.deepEqual([body.disabled, body.roles], [false, ['customer', 'admin']]);
  });

  test('of two administrators who disable each other at once, one is left', async () => {
    assert.equal(
      (await asAdmin('PUT', `/users/${bob.id}/roles`, { roles: ['customer', 'admin'] })).status,
      204,
    );
    const other = await system.tokenOf('bob', 'users:admin');
    const answers = await Promise.all([
      asAdmin('POST', `/users/${bob.id}/disable`),
      system.call('POST', `/users/${admin.id}/disable`, { token: other }),
    ]);
    const done = answers.filter(({ status }) => status === 204);
    assert.equal(done.length, 1, answers.map(({ status }) => status).join());
    for (const { status } of answers) assert.ok([204, 401, 403].includes(status), String(status));
    // Whoever is left puts everything back.
    const isBobLeft = answers[1]?.status === 204;
    if (isBobLeft) {
      assert.equal((await system.call('POST', `/users/${admin.id}/enable`, { token: other })).status, 204);
      adminToken = await system.tokenOf('admin', 'users:admin profile:read');
    } else {
      assert.equal((await asAdmin('POST', `/users/${bob.id}/enable`)).status, 204);
    }
    assert.equal((await asAdmin('PUT', `/users/${bob.id}/roles`, { roles: ['customer'] })).status, 204);
  });

  test('GET /users/{id}/audit tells who did what to the account, from where and by which request, newest first', async () => {
    const requestId = `audit-${randomUUID()}`;
    const headers = { 'X-Request-Id': requestId, 'X-Forwarded-For': '192.0.2.44' };
    const path = `/users/${bob.id}/logout`;
    assert.equal((await system.call('POST', path, { token: adminToken, headers })).status, 204);
    const { status, body } = await asAdmin('GET', `/users/${bob.id}/audit?limit=1`);
    assert.equal(status, 200);
    const [{ id, at, ...entry }] = body.items;
    assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000);
    const what = { event: 'admin-sign-out', outcome: 'success', detail: {} };
    const who = { actorId: admin.id, clientId: 'users-service', address: '192.0.2.44', requestId };
    assert.deepEqual(entry, { ...what, ...who });

    const seen = [id];
    for (let { next } = body; next !== null; ) {
      const page = (await asAdmin('GET', `/users/${bob.id}/audit?limit=100&cursor=${next}`)).body;
      seen.push(...page.items.map((item: { id: string }) => item.id));
      next = page.next;
    }
    assert.deepEqual(
      seen,
      seen.toSorted((one, other) => Number(other) - Number(one)),
    );
    const { body: whole } = await asAdmin('GET', `/users/${bob.id}/audit?limit=100`);
    const events = whole.items.map((item: { event: string }) => item.event);
    for (const event of ['account-disable', 'account-enable', 'roles-change', 'admin-sign-out']) {
      assert.ok(events.includes(event), event);
    }
    // What was refused was not done, so it is not there.
    const own = (await asAdmin('GET', `/users/${admin.id}/audit?limit=100`)).body.items;
    assert.ok(!own.some((item: { event: string }) => item.event === 'roles-change'));
  });

  test('R15 without the authorization server every route of administrators is 503', async () => {
    await system.stopAuth();
    for (const [method, path] of adminRoutes) {
      const answer = await system.call(method, path, { token: adminToken, ...jsonFor(method) });
      assertProblem(answer, 503);
      assert.ok(answer.headers.get('retry-after'));
    }
    assert.equal((await system.call('GET', '/users/me', { token: adminToken })).status, 200);
  });
});
