import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { assertMissingScope, assertProblem, call } from '../http.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway } from '../target.ts';

interface TinTrinket {
  id: string;
  text: string;
}

const tinTrinkets = `${gateway}/tin-trinkets`;

test('what alice adds to a generated service is hers to list and to read, and nobody else sees it', async () => {
  const alice = await tokenOf('alice', 'tin-trinkets:read tin-trinkets:write');
  const added = await call<TinTrinket>(tinTrinkets, { token: alice, json: { text: 'The first of many.' } });
  assert.equal(added.status, 201, added.text);
  const location = `${gateway}${added.headers.get('location')}`;
  assert.deepEqual((await call<TinTrinket>(location, { token: alice })).body, added.body);
  const list = await call<{ items: TinTrinket[] }>(tinTrinkets, { token: alice });
  assert.deepEqual(list.body.items, [added.body]);

  const bob = await tokenOf('bob', 'tin-trinkets:read');
  assertProblem(await call(location, { token: bob }), 404);
  assert.deepEqual((await call<{ items: TinTrinket[] }>(tinTrinkets, { token: bob })).body.items, []);
});

test('a generated service refuses who has no token, and who has another scope', async () => {
  assertProblem(await call(tinTrinkets), 401);
  assertProblem(await call(tinTrinkets, { json: { text: 'No.' } }), 401);
  const token = await tokenOf('alice', 'tin-trinkets:read');
  assertMissingScope(await call(tinTrinkets, { token, json: { text: 'No.' } }), 'tin-trinkets:write');
  assertMissingScope(
    await call(tinTrinkets, { token: await tokenOf('alice', 'orders:read') }),
    'tin-trinkets:read',
  );
});

test('the routes of a generated service stand in /openapi.json with the scopes that they need', async () => {
  const { body } = await call<{
    paths: Record<string, Record<string, { security: { oauth2: string[] }[] }>>;
  }>(`${gateway}/openapi.json`);
  assert.deepEqual(Object.keys(body.paths['/tin-trinkets'] ?? {}).sort(), ['get', 'post']);
  assert.deepEqual(body.paths['/tin-trinkets']?.post?.security[0]?.oauth2, ['tin-trinkets:write']);
  assert.deepEqual(body.paths['/tin-trinkets/{id}']?.get?.security[0]?.oauth2, ['tin-trinkets:read']);
});

test('the commands at the end of docs/adding-a-service.md add to it, list it, and are refused without a token', async () => {
  const page = readFileSync(new URL('../../../docs/adding-a-service.md', import.meta.url), 'utf8');
  const [, told = ''] = /^```sh\n(TOKEN=[\s\S]*?)^```/m.exec(page) ?? [];
  const commands = told
    .replaceAll('sticky-notes', 'tin-trinkets')
    .replaceAll('http://localhost:8080', gateway);
  const { stdout } = await promisify(execFile)('bash', ['-eo', 'pipefail', '-c', commands], {
    timeout: 30_000,
  });
  assert.match(stdout, /201 Created[\s\S]+"items":\[\{[\s\S]+401 Unauthorized/);
});
