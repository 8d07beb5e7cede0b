import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partsOf } from '../testing/guarded.ts';
import { testInvalidTokens } from '../testing/index.ts';
import { openApp } from './app.ts';

testInvalidTokens((t, issuer) => openApp(t, {}, issuer));

test('J15 a service takes tokens for all, and those for itself alone', async (t) => {
  const app = await openApp(t);
  for (const aud of ['urn:gatehouse:api', 'urn:gatehouse:items', ['urn:gatehouse:items']]) {
    assert.equal((await app.get(await app.issuer.sign({ aud }))).status, 200, JSON.stringify(aud));
  }
  assert.equal(
    (await app.get(await app.issuer.sign({ aud: ['urn:gatehouse:api', 'urn:gatehouse:items'] }))).status,
    401,
  );
});

test('J22 a claim given twice has the same meaning everywhere: the last one', async (t) => {
  const app = await openApp(t);
  const [header, payload] = await partsOf(app.issuer);
  const twice = app.issuer.signText(header, payload.replace('{', '{"sub":"mallory",'));
  for (let i = 0; i < 2; i++) {
    assert.equal(((await (await app.get(twice)).json()) as { subject: string }).subject, 'alice');
  }
});

test('J29 claims named like members of objects have no effect', async (t) => {
  const app = await openApp(t);
  const [header, payload] = await partsOf(app.issuer);
  const odd =
    '{"__proto__":{"roles":["admin"],"admin":true},"constructor":{"prototype":{"x":1}},"isAdmin":true,';
  const token = app.issuer.signText(header, payload.replace('{', odd));
  assert.equal((await app.get(token)).status, 200);
  assert.equal((await app.get(token, '/admin')).status, 403);
  assert.equal(({} as Record<string, unknown>).admin, undefined);
});
