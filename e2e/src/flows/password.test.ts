import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-accounts';
import { genericGrantRequest } from 'openid-client';
import { type ClientId, client } from '../clients.ts';
import { type Answer, assertMissingScope, call } from '../http.ts';
import type { Item, Page, TokenAnswer, User } from '../shapes.ts';
import { passwords } from '../sign-in.ts';
import { gateway } from '../target.ts';

// As `curl -d` sends it: nothing is encoded.
function curl(form: string): Promise<Answer<TokenAnswer>> {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return call<TokenAnswer>(`${gateway}/token`, { body: form, headers });
}

const tutorial = 'grant_type=password&client_id=demo-first-party&username=johndoe&password=secret';

test("the tutorials' call works as it stands: token, profile, own items", async () => {
  const { status, headers, body } = await curl(`${tutorial}&scope=profile:read items:read`);
  assert.equal(status, 200);
  assert.match(headers.get('cache-control') ?? '', /no-store/);
  assert.equal(body.token_type, 'Bearer');
  assert.equal(body.expires_in, 300);
  assert.equal(body.scope, 'profile:read items:read');
  assert.equal(body.refresh_token, undefined);

  const token = body.access_token;
  const me = await call<User>(`${gateway}/users/me`, { token });
  const { id, username, displayName, email, roles } = demoAccounts.johndoe;
  assert.equal(me.status, 200);
  const { createdAt, ...profile } = me.body;
  assert.deepEqual(profile, { id, username, displayName, email, roles });
  assert.ok(Date.parse(createdAt) <= Date.now());

  const items = await call<Page<Item>>(`${gateway}/users/me/items`, { token });
  assert.equal(items.status, 200);
  assert.ok(items.body.items.length > 0);
  for (const item of items.body.items) assert.equal(item.ownerId, id);
});

test('T11 without items:read the items are 403, and the scope is named', async () => {
  const { body } = await curl(`${tutorial}&scope=profile:read`);
  const token = body.access_token;
  assert.equal((await call(`${gateway}/users/me`, { token })).status, 200);
  assertMissingScope(await call(`${gateway}/users/me/items`, { token }), 'items:read');
  assertMissingScope(await call(`${gateway}/items`, { token }), 'items:read');
});

test('A46 a wrong password, an unknown account and a disabled one get the same answer', async () => {
  const tries = [
    ['alice', 'wrong-password'],
    ['nobody-here', 'wrong-password'],
    ['carol', 'wrong-password'],
    ['carol', passwords.carol],
  ];
  const answers = await Promise.all(
    tries.map(async ([username = '', password = '']) => {
      const form = { grant_type: 'password', client_id: 'demo-first-party', scope: 'profile:read' };
      const { status, text } = await call(`${gateway}/token`, { form: { ...form, username, password } });
      return { status, text };
    }),
  );
  const [first] = answers;
  assert.equal(first?.status, 400);
  assert.equal(JSON.parse(first.text).error, 'invalid_grant');
  for (const answer of answers) assert.deepEqual(answer, first);
});

test('A35 no other client may use the password grant', async () => {
  const others: ClientId[] = ['demo-cli', 'demo-web', 'demo-reporting'];
  for (const id of others) {
    const parameters = { username: 'alice', password: passwords.alice, scope: 'items:read' };
    const asking = genericGrantRequest(await client(id), 'password', parameters);
    await assert.rejects(asking, { error: 'unauthorized_client' }, id);
  }
});

test('a scope that the client may not ask for, or none, is invalid_scope', async () => {
  for (const scope of ['items:reserve', 'profile:read everything', '']) {
    const parameters = { username: 'alice', password: passwords.alice, ...(scope && { scope }) };
    const asking = genericGrantRequest(await client('demo-first-party'), 'password', parameters);
    await assert.rejects(asking, { error: 'invalid_scope' }, scope);
  }
});
