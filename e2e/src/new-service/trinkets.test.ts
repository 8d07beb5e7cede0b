import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertMissingScope, assertProblem, call } from '../http.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway } from '../target.ts';

interface Trinket {
  id: string;
  text: string;
}

const trinkets = `${gateway}/trinkets`;

test('what alice adds to a generated service is hers to list and to read, and nobody else sees it', async () => {
  const alice = await tokenOf('alice', 'trinkets:read trinkets:write');
  const added = await call<Trinket>(trinkets, { token: alice, json: { text: 'The first of many.' } });
  assert.equal(added.status, 201, added.text);
  const location = `${gateway}${added.headers.get('location')}`;
  assert.deepEqual((await call<Trinket>(location, { token: alice })).body, added.body);
  const list = await call<{ items: Trinket[] }>(trinkets, { token: alice });
  assert.deepEqual(list.body.items, [added.body]);

  const bob = await tokenOf('bob', 'trinkets:read');
  assertProblem(await call(location, { token: bob }), 404);
  assert.deepEqual((await call<{ items: Trinket[] }>(trinkets, { token: bob })).body.items, []);
});

test('a generated service refuses who has no token, and who has another scope', async () => {
  assertProblem(await call(trinkets), 401);
  assertProblem(await call(trinkets, { json: { text: 'No.' } }), 401);
  const token = await tokenOf('alice', 'trinkets:read');
  assertMissingScope(await call(trinkets, { token, json: { text: 'No.' } }), 'trinkets:write');
  assertMissingScope(await call(trinkets, { token: await tokenOf('alice', 'orders:read') }), 'trinkets:read');
});

test('the routes of a generated service stand in /openapi.json with the scopes that they need', async () => {
  const { body } = await call<{
    paths: Record<string, Record<string, { security: { oauth2: string[] }[] }>>;
  }>(`${gateway}/openapi.json`);
  assert.deepEqual(Object.keys(body.paths['/trinkets'] ?? {}).sort(), ['get', 'post']);
  assert.deepEqual(body.paths['/trinkets']?.post?.security[0]?.oauth2, ['trinkets:write']);
  assert.deepEqual(body.paths['/trinkets/{id}']?.get?.security[0]?.oauth2, ['trinkets:read']);
});
