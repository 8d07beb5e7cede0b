import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { documentsByOrigin } from '../documented.ts';
import { call } from '../http.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway } from '../target.ts';

interface Rule {
  method: string;
  path: string;
  scope: string;
  role: string | undefined;
}

async function rules(): Promise<Rule[]> {
  const document = (await documentsByOrigin()).get(new URL(gateway).origin);
  assert.ok(document);
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      scope: operation.security.flatMap(({ oauth2 }) => oauth2).join(' '),
      role: /Needs the role `(.+?)`/.exec((operation as { description?: string }).description ?? '')?.[1],
    })),
  );
}

const free = '00000000-0000-4000-8000-000000000000';
const urlOf = (path: string) => gateway + path.replaceAll(/\{\w+\}/g, free);

test('Z04 no role with no scope gets into a route that the document does not open to it, and nobody into one of a role that is not theirs', async () => {
  const all = await rules();
  const scopes = [...new Set(all.map(({ scope }) => scope))];
  assert.ok(all.length > 20 && scopes.length >= 7, `${all.length} routes, ${scopes}`);
  let tried = 0;
  for (const username of ['alice', 'admin'] as const) {
    for (const scope of scopes) {
      const token = await tokenOf(username, scope);
      const roles: readonly string[] = demoAccounts[username].roles;
      const closed = all.filter((rule) => rule.scope !== scope || (rule.role && !roles.includes(rule.role)));
      for (const { method, path } of closed) {
        const { status } = await call(urlOf(path), { method, token });
        assert.equal(status, 403, `${username} with ${scope}: ${method} ${path}`);
        tried += 1;
      }
    }
  }
  assert.ok(tried > 250, String(tried));
});

test('Z16 no other path than those of the documents answers with success', async () => {
  const token = await tokenOf('admin', 'profile:read items:read orders:read users:admin');
  const words = [
    ...[
      'admin',
      'administrator',
      'api',
      'v1',
      'v2',
      'internal',
      'private',
      'debug',
      '__debug',
      'console',
      'actuator',
    ],
    ...[
      'actuator/env',
      'metrics',
      'status',
      'info',
      'env',
      'config',
      'config.json',
      'swagger',
      'swagger.json',
      'graphql',
    ],
    ...[
      'openapi',
      'openapi.yaml',
      'api-docs',
      'accounts',
      'accounts/me',
      'clients',
      'keys',
      'jwks',
      'jwks.json',
      'tokens',
    ],
    ...[
      'sessions',
      'session',
      'login',
      'signin',
      'signup',
      'oauth',
      'oauth/token',
      'oauth2/token',
      'auth',
      'auth/token',
    ],
    ...[
      'connect/token',
      'register/client',
      'reg',
      'health',
      'healthz',
      'health/verbose',
      'ready',
      'live',
      'ping',
      'test',
    ],
    ...[
      'backup',
      'backup.zip',
      'db',
      'dump.sql',
      '.env',
      '.git/config',
      '.git/HEAD',
      'package.json',
      'src/main.ts',
      'node_modules',
    ],
    ...[
      'server-status',
      'favicon.ico',
      'robots.txt',
      'security.txt',
      '.well-known/security.txt',
      '.well-known/jwks',
      'users/all',
    ],
    ...[
      'users/me/roles',
      'users/me/orders',
      'items/all',
      'items/search',
      'orders/all',
      'orders/me',
      'reservations',
      'explorer/src',
      'explorer/source',
      'explorer/source/package.json',
      'explorer/source/apps/auth/src/config.ts',
    ],
    ...[
      'docs/config',
      'explorer/index.html',
      'explorer/tsconfig.json',
      'admin/users',
      'admin/config',
      'admin/keys/private',
      'audit',
    ],
  ];
  for (const word of words) {
    const { status } = await call(`${gateway}/${word}`, { token });
    assert.ok(status >= 400 && status < 500, `/${word} is ${status}`);
  }
});

test('H37 a path that looks like a file to a cache is none, and nothing that a token opens may be kept', async () => {
  const token = await tokenOf('alice', 'items:read profile:read');
  const { body } = await call<{ items: { id: string }[] }>(`${gateway}/items?limit=1`, { token });
  const [item] = body.items;
  assert.ok(item);
  for (const path of [
    `/items/${item.id}/x.css`,
    `/items/${item.id};.js`,
    `/items/${item.id}.css`,
    `/items/${item.id}%2Fx.css`,
    '/users/me/x.js',
    '/users/me;x.png',
  ]) {
    const { status, headers } = await call(gateway + path, { token });
    assert.ok([400, 404, 422].includes(status), `${path} is ${status}`);
    assert.equal(headers.get('cache-control'), 'no-store', path);
  }
  const read = await call(`${gateway}/items/${item.id}`, { token });
  assert.equal(read.headers.get('cache-control'), 'no-store');
});
