import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertMissingScope, assertProblem, call } from '../http.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway } from '../target.ts';

interface Payment {
  id: string;
  text: string;
}

const payments = `${gateway}/payments`;

test('what alice adds to a generated service is hers to list and to read, and nobody else sees it', async () => {
  const alice = await tokenOf('alice', 'payments:read payments:write');
  const added = await call<Payment>(payments, { token: alice, json: { text: 'The first of many.' } });
  assert.equal(added.status, 201, added.text);
  const location = `${gateway}${added.headers.get('location')}`;
  assert.deepEqual((await call<Payment>(location, { token: alice })).body, added.body);
  const list = await call<{ items: Payment[] }>(payments, { token: alice });
  assert.deepEqual(list.body.items, [added.body]);

  const bob = await tokenOf('bob', 'payments:read');
  assertProblem(await call(location, { token: bob }), 404);
  assert.deepEqual((await call<{ items: Payment[] }>(payments, { token: bob })).body.items, []);
});

test('a generated service refuses who has no token, and who has another scope', async () => {
  assertProblem(await call(payments), 401);
  assertProblem(await call(payments, { json: { text: 'No.' } }), 401);
  const token = await tokenOf('alice', 'payments:read');
  assertMissingScope(await call(payments, { token, json: { text: 'No.' } }), 'payments:write');
  assertMissingScope(await call(payments, { token: await tokenOf('alice', 'orders:read') }), 'payments:read');
});

test('the routes of a generated service stand in /openapi.json with the scopes that they need', async () => {
  const { body } = await call<{
    paths: Record<string, Record<string, { security: { oauth2: string[] }[] }>>;
  }>(`${gateway}/openapi.json`);
  assert.deepEqual(Object.keys(body.paths['/payments'] ?? {}).sort(), ['get', 'post']);
  assert.deepEqual(body.paths['/payments']?.post?.security[0]?.oauth2, ['payments:write']);
  assert.deepEqual(body.paths['/payments/{id}']?.get?.security[0]?.oauth2, ['payments:read']);
});
