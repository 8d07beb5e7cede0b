import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireScope } from '../src/index.ts';
import { openApp } from './app.ts';

test('T11 a token without the scope is 403 and the challenge names the scope', async (t) => {
  const app = await openApp(t);
  assert.equal((await app.get(await app.issuer.sign({ scope: 'a items:read b' }), '/items')).status, 200);
  const response = await app.get(await app.issuer.sign({ scope: 'orders:read' }), '/items');
  assert.equal(response.status, 403);
  assert.equal(
    response.headers.get('www-authenticate'),
    'Bearer realm="api", error="insufficient_scope", error_description="This needs the scope items:read", scope="items:read"',
  );
  assert.equal(response.headers.get('cache-control'), 'no-store');
});

test('J21 nothing but the very scope gives access', async (t) => {
  const app = await openApp(t);
  const near = [
    'items:readx',
    'items:rea',
    'xitems:read',
    'ITEMS:READ',
    'items',
    'items:*',
    '*',
    'items:write',
  ];
  for (const scope of near) {
    assert.equal((await app.get(await app.issuer.sign({ scope }), '/items')).status, 403, scope);
  }
  const malformed = [
    ['items:read'],
    { 'items:read': true },
    'a\titems:read',
    'a  items:read',
    ' items:read',
    'items:read ',
    'a\nitems:read',
    'items:read\u0000',
    'ｉｔｅｍｓ:ｒｅａｄ',
    'items:read "',
    'items:read \\',
    7,
    true,
    null,
  ];
  for (const scope of malformed) {
    assert.equal(
      (await app.get(await app.issuer.sign({ scope }), '/items')).status,
      401,
      JSON.stringify(scope),
    );
  }
});

test('a caller without the role is 403', async (t) => {
  const app = await openApp(t);
  assert.equal((await app.get(await app.issuer.sign({ roles: ['admin'] }), '/admin')).status, 200);
  for (const roles of [undefined, [], ['customer'], ['Admin'], ['admin2'], ['', 'admi']]) {
    const response = await app.get(await app.issuer.sign({ roles, scope: 'admin', admin: true }), '/admin');
    assert.equal(response.status, 403, JSON.stringify(roles));
    assert.match(response.headers.get('www-authenticate') ?? '', /error="insufficient_scope"/);
  }
});

test('roles in any form but a list of texts are no valid token', async (t) => {
  const app = await openApp(t);
  for (const roles of ['admin', { admin: true }, [['admin']], ['admin', 1], [null], null, 1]) {
    assert.equal(
      (await app.get(await app.issuer.sign({ roles }), '/admin')).status,
      401,
      JSON.stringify(roles),
    );
  }
});

test('a text that is not one scope is refused when the route is declared', () => {
  for (const scope of ['', 'a b', 'a"b', 'a\\b', 'é']) assert.throws(() => requireScope(scope), TypeError);
});
