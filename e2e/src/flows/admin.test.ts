import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { administer, register } from '../accounts.ts';
import { assertMissingScope, assertProblem, call } from '../http.ts';
import { assertDies, assertLive } from '../revoked.ts';
import type { Page, User } from '../shapes.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway, services } from '../target.ts';

const refused = { error: 'invalid_grant' };

test('an account that has just registered has a profile, without an e-mail address', async () => {
  const { username, user } = await register();
  const { id, createdAt, displayName, ...rest } = user;
  assert.deepEqual(rest, { username, email: null, roles: ['customer'] });
  assert.ok(displayName.length > 0);
  const listed = await administer<Page<User>>('GET', '/users?limit=1');
  assert.deepEqual(listed.body.items, [{ ...user, disabled: false }]);
  assert.equal(typeof listed.body.next, 'string');
});

test('J36 A26 a disabled account is out at the gateway and at each service, until it is enabled', async (t) => {
  const { user, signIn, refresh } = await register();
  const tokens = await signIn('profile:read items:read orders:read offline_access');
  const untouched = await tokenOf('alice', 'profile:read');
  await assertLive(tokens.access_token);
  assert.equal((await administer('POST', `/users/${user.id}/disable`)).status, 204);
  t.diagnostic(await assertDies(tokens.access_token));
  await assert.rejects(refresh(tokens.refresh_token), refused);
  await assert.rejects(signIn('profile:read'), refused);
  await assertLive(untouched);

  assert.equal((await administer('POST', `/users/${user.id}/enable`)).status, 204);
  await assertLive((await signIn('profile:read')).access_token);
  await assert.rejects(refresh(tokens.refresh_token), refused);

  const { body } = await administer<Page<{ event: string }>>('GET', `/users/${user.id}/audit`);
  const events = body.items.map(({ event }) => event);
  for (const event of ['account-disable', 'account-enable', 'registration']) {
    assert.ok(events.includes(event), `${event} is not in ${events}`);
  }
});

test('J36 new roles hold at once: old tokens die, the next refresh tells them', async (t) => {
  const { user, signIn, refresh } = await register();
  const roles = (names: string[]) => administer('PUT', `/users/${user.id}/roles`, { roles: names });
  const tokens = await signIn('users:admin profile:read offline_access');
  assertProblem(await call(`${gateway}/users`, { token: tokens.access_token }), 403);
  assert.equal((await roles(['customer', 'admin'])).status, 204);
  t.diagnostic(await assertDies(tokens.access_token));
  const { access_token: token, refresh_token: next } = await refresh(tokens.refresh_token);
  assert.equal((await call(`${gateway}/users`, { token })).status, 200);
  assert.equal((await roles(['customer'])).status, 204);
  t.diagnostic(await assertDies(token));
  const { access_token: demoted } = await refresh(next);
  assertProblem(await call(`${gateway}/users`, { token: demoted }), 403);
});

test('A26 an account that is signed out by an administrator signs in anew', async (t) => {
  const { user, signIn, refresh } = await register();
  const tokens = await signIn('profile:read offline_access');
  assert.equal((await administer('POST', `/users/${user.id}/logout`)).status, 204);
  t.diagnostic(await assertDies(tokens.access_token));
  await assert.rejects(refresh(tokens.refresh_token), refused);
  await assertLive((await signIn('profile:read')).access_token);
});

test('Z03 Z05 a customer gets 403 on the routes of administrators, at the gateway and past it', async () => {
  const { user } = await register();
  const customer = await tokenOf('alice', 'users:admin');
  const unscoped = await tokenOf('admin', 'profile:read');
  const own = `/users/${user.id}`;
  for (const origin of services ? [gateway, services.users] : [gateway]) {
    for (const [method, path] of [
      ['GET', '/users'],
      ['GET', own],
      ['GET', `${own}/audit`],
      ['POST', `${own}/disable`],
      ['POST', `${own}/enable`],
      ['POST', `${own}/logout`],
      ['PUT', `${own}/roles`],
    ] as const) {
      const json = method === 'PUT' && { json: { roles: ['admin'] } };
      assertProblem(await call(origin + path, { method, token: customer, ...json }), 403);
      assertMissingScope(await call(origin + path, { method, token: unscoped, ...json }), 'users:admin');
    }
  }
  const { body } = await administer<User & { disabled: boolean }>('GET', own);
  assert.deepEqual([body.disabled, body.roles], [false, ['customer']]);
});

test('the accounts API is not to be reached from outside', async () => {
  const token = await tokenOf('admin', 'users:admin profile:read');
  for (const path of ['/accounts', '/accounts/me', `/accounts/${randomUUID()}/audit`, '/users/../accounts']) {
    assertProblem(await call(gateway + path, { token }), 404);
  }
});
