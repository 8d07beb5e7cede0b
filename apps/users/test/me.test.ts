import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { assertProblem, pointersOf, testRefusals } from '@gatehouse/service-kit/testing';
import type { RequestHandler } from 'express';
import { users } from '../src/app.ts';
import { profiles } from '../src/schema.ts';
import { startUsers } from './start-users.ts';

const bench = await startUsers();
after(bench.close);
const service = bench.users;

testRefusals(service, bench);

const newCaller = async () => {
  const sub = randomUUID();
  const username = `user-${sub}`;
  const profile = { id: sub, username, displayName: 'Someone', email: `${username}@example.com` };
  await bench.db.insert(profiles).values(profile);
  return { as: { sub, scope: 'profile:read profile:write', roles: ['customer'] }, profile };
};

const read = (as: Record<string, unknown>) => service.call('GET', '/users/me', { as });
const rename = (as: Record<string, unknown>, displayName: unknown) =>
  service.call('PATCH', '/users/me', { as, json: { displayName } });

test('Z08 GET /users/me answers the profile of the caller, with the declared fields and no other', async () => {
  const { as, profile } = await newCaller();
  await newCaller();
  const { status, body } = await read(as);
  assert.equal(status, 200);
  const { createdAt, ...rest } = body;
  assert.deepEqual(rest, { ...profile, roles: ['customer'] });
  assert.equal(new Date(createdAt).toISOString(), createdAt);
});

test('GET /users/me tells the roles of the access token', async () => {
  const { as } = await newCaller();
  assert.deepEqual((await read({ ...as, roles: ['customer', 'admin'] })).body.roles, ['customer', 'admin']);
  assert.deepEqual((await read({ ...as, roles: [] })).body.roles, []);
});

test('a caller without a profile and without an account gets 404, whatever its subject is', async () => {
  for (const sub of [randomUUID(), 'alice', "' or true --", '👻', 'x'.repeat(2000)]) {
    const as = { sub, scope: 'profile:read profile:write' };
    assertProblem(await read(as), 404);
    assertProblem(await rename(as, 'Nobody'), 404);
  }
});

test('Z06 a client whose id is the id of a user does not get the profile', async () => {
  const { as } = await newCaller();
  assertProblem(await read({ ...as, client_id: as.sub }), 403);
});

test('PATCH /users/me changes the display name of the caller alone', async () => {
  const [alice, bob] = [await newCaller(), await newCaller()];
  const before = (await read(alice.as)).body;
  const changed = await rename(alice.as, ' Alice B. \n');
  assert.equal(changed.status, 200);
  assert.deepEqual(changed.body, { ...before, displayName: 'Alice B.' });
  assert.deepEqual((await read(alice.as)).body, changed.body);
  assert.equal((await read(bob.as)).body.displayName, 'Someone');
});

test('PATCH /users/me takes text within its limits, and changes nothing otherwise', async () => {
  const { as } = await newCaller();
  for (const name of ['', '  ', 'x'.repeat(121), 'nul\0', '\ud800', 1, null, ['x'], { $set: 1 }]) {
    const answer = await rename(as, name);
    assertProblem(answer, 422);
    assert.deepEqual([...new Set(pointersOf(answer))], ['#/displayName']);
  }
  assert.equal((await read(as)).body.displayName, 'Someone');
  const { status, body } = await rename(as, undefined);
  assert.deepEqual([status, body.displayName], [200, 'Someone']);
  assert.equal((await rename(as, 'x'.repeat(120))).status, 200);
});

test('H41 a hostile display name comes back as it went in', async () => {
  const { as } = await newCaller();
  for (const name of [
    `'); drop table users.profiles; --`,
    '<script>alert(1)</script>',
    '👩‍👧 e\u0301 \u202Ex',
    '\\0 %00',
  ]) {
    assert.equal((await rename(as, name)).body.displayName, name);
    assert.equal((await read(as)).body.displayName, name);
  }
});

test('Z07 PATCH /users/me takes no field that is not the caller’s to set', async () => {
  const { as } = await newCaller();
  const before = (await read(as)).body;
  const foreign = {
    id: randomUUID(),
    username: 'root',
    email: 'x@example.com',
    email_verified: true,
    createdAt: 0,
  };
  for (const [field, value] of Object.entries({
    ...foreign,
    role: 'admin',
    roles: ['admin'],
    isAdmin: true,
  })) {
    const json = { displayName: 'Mallory', [field]: value };
    const answer = await service.call('PATCH', '/users/me', { as, json });
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), [`#/${field}`]);
  }
  assert.deepEqual((await read(as)).body, before);
});

test('a query, another method or another spelling of the path is refused', async () => {
  const { as } = await newCaller();
  assertProblem(await service.call('GET', '/users/me?id=1', { as }), 422);
  const put = await service.call('PUT', '/users/me', { as, json: {} });
  assertProblem(put, 405);
  assert.equal(put.headers.get('allow'), 'GET, PATCH, HEAD');
  for (const path of ['/Users/me', '/users/me/', '/users/', `/users/${as.sub}/`])
    assertProblem(await service.call('GET', path, { as }), 404);
  assertProblem(await service.call('POST', `/users/${as.sub}`, { as }), 405);
});

const newAccount = () => {
  const id = randomUUID();
  const username = `user-${id}`;
  const account = {
    id,
    username,
    displayName: 'New',
    roles: ['customer'],
    createdAt: '2026-02-03T04:05:06.789Z',
  };
  return { as: { sub: id, scope: 'profile:read profile:write', roles: ['customer'] }, account };
};

/** An accounts API with this one account, which counts how often it is asked. */
function accountsWith(account: Record<string, unknown>) {
  const asked: { path: string; scope: unknown; address: unknown; requestId: unknown }[] = [];
  const handler: RequestHandler = (req, res) => {
    const payload = req.headers.authorization?.split('.')[1] ?? '';
    const { scope } = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const { 'x-forwarded-for': address, 'x-request-id': requestId } = req.headers;
    asked.push({ path: req.path, scope, address, requestId });
    res.json({ disabled: false, email: null, ...account });
  };
  return { asked, handler };
}

test('an account without a profile gets one from the authorization server, which is asked once', async () => {
  const { as, account } = newAccount();
  const { asked, handler } = accountsWith(account);
  const other = await bench.startUsersWith({ accounts: handler });
  const headers = { 'X-Request-Id': 'request-of-this-test', 'X-Forwarded-For': '192.0.2.7' };
  const first = await other.call('GET', '/users/me', { as, headers });
  assert.equal(first.status, 200);
  assert.deepEqual(first.body, { ...account, email: null });
  const expected = { path: '/accounts/me', scope: 'accounts:read', address: '192.0.2.7' };
  assert.deepEqual(asked, [{ ...expected, requestId: 'request-of-this-test' }]);

  assert.deepEqual((await other.call('GET', '/users/me', { as })).body, first.body);
  assert.equal(asked.length, 1);
  // The service whose authorization server knows nobody has it as well.
  assert.deepEqual((await read(as)).body, first.body);
});

test('the first thing an account does may be to change its name', async () => {
  const { as, account } = newAccount();
  const other = await bench.startUsersWith({ accounts: accountsWith(account).handler });
  const changed = await other.call('PATCH', '/users/me', { as, json: { displayName: 'Newer' } });
  assert.equal(changed.status, 200);
  assert.deepEqual(changed.body, { ...account, email: null, displayName: 'Newer' });
  assert.equal((await read(as)).body.displayName, 'Newer');
});

test('twenty first questions at once make one profile', async () => {
  const { as, account } = newAccount();
  const other = await bench.startUsersWith({ accounts: accountsWith(account).handler });
  const answers = await Promise.all(Array.from({ length: 20 }, () => other.call('GET', '/users/me', { as })));
  for (const { status, body } of answers)
    assert.deepEqual({ status, id: body.id }, { status: 200, id: as.sub });
});

test('R15 without the authorization server a profile is read as ever, and a missing one is 503', async () => {
  const { as } = await newCaller();
  const { as: stranger, account } = newAccount();
  const refused = (status: number, body: object): RequestHandler => {
    return (_req, res) => void res.status(status).json(body);
  };
  const faults: { token?: RequestHandler; accounts?: RequestHandler }[] = [
    { token: (req) => void req.socket.destroy() },
    { token: refused(503, { error: 'temporarily_unavailable' }) },
    { token: refused(401, { error: 'invalid_client' }) },
    { accounts: (req) => void req.socket.destroy() },
    { accounts: refused(503, { status: 503 }) },
    { accounts: refused(500, { status: 500 }) },
    { accounts: refused(200, { ...account, createdAt: 'yesterday' }) },
    { accounts: refused(200, {}) },
  ];
  for (const fault of faults) {
    const other = await bench.startUsersWith(fault);
    assert.equal((await other.call('GET', '/users/me', { as })).status, 200);
    for (const [method, json] of [['GET'], ['PATCH', { displayName: 'New' }]] as const) {
      const answer = await other.call(method, '/users/me', { as: stranger, ...(json && { json }) });
      assertProblem(answer, 503);
      assert.ok(answer.headers.get('retry-after'));
    }
  }
});

test('DEMO=true gives every demo account its profile, and keeps what it changed since', async () => {
  const as = { sub: demoAccounts.alice.id, scope: 'profile:read profile:write' };
  for (const displayName of ['Alice Example', 'Changed']) {
    const elsewhere = { TOKEN_URL: service.url, ACCOUNTS_URL: service.url, CLIENT_SECRET: 'x' };
    await bench.start(users, { DEMO: 'true', ...elsewhere });
    const { body } = await read(as);
    assert.equal(body.username, 'alice');
    assert.equal(body.displayName, displayName);
    await rename(as, 'Changed');
  }
  for (const { id, username } of Object.values(demoAccounts)) {
    assert.equal((await read({ sub: id, scope: 'profile:read' })).body.username, username);
  }
});
