import assert from 'node:assert/strict';
import { test } from 'node:test';
import { genericGrantRequest } from 'openid-client';
import { type ClientId, client } from '../clients.ts';
import { call } from '../http.ts';
import { passwords } from '../sign-in.ts';
import { gateway } from '../target.ts';

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
