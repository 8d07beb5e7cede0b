import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertFits, assertValid, type DocumentedAnswer, documentsByOrigin } from '../documented.ts';
import { call } from '../http.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway } from '../target.ts';

async function publicDocument() {
  const document = (await documentsByOrigin()).get(new URL(gateway).origin);
  assert.ok(document);
  return document;
}

test('an answer that is not as documented is told from one that is, in each run', async () => {
  const document = await publicDocument();
  const token = await tokenOf('alice', 'profile:read items:read items:write');
  const me = await call<Record<string, unknown>>(`${gateway}/users/me`, { token });
  const json = { name: 'Documented', priceCents: 1, stock: 1000 };
  const created = await call(`${gateway}/items`, { token, json });
  const refused = await call(`${gateway}/users/me`);
  const missing = await call(`${gateway}/users/me/other`, { token });
  const otherMethod = await call(`${gateway}/users/me`, { token, method: 'DELETE' });

  const without = (answer: DocumentedAnswer, header: string) => {
    const headers = new Headers(answer.headers);
    headers.delete(header);
    return { ...answer, headers };
  };
  const faults: [method: string, path: string, answer: DocumentedAnswer][] = [
    ['GET', '/users/me', { ...me, status: 206 }],
    ['GET', '/users/me', { ...me, text: JSON.stringify({ ...me.body, passwordHash: 'x' }) }],
    ['GET', '/users/me', { ...me, text: JSON.stringify({ ...me.body, roles: 'customer' }) }],
    ['GET', '/users/me', { ...me, text: JSON.stringify({ ...me.body, createdAt: 'yesterday' }) }],
    ['GET', '/users/me', { ...me, text: '{}' }],
    ['GET', '/users/me', without(me, 'content-type')],
    ['POST', '/items', without(created, 'location')],
    ['GET', '/users/me', without(refused, 'www-authenticate')],
    ['GET', '/users/me', { ...refused, text: '{"error":"unauthorized"}' }],
    ['GET', '/users/me/other', { ...missing, status: 200 }],
    ['GET', '/users/me/other', { ...missing, text: '{}' }],
    ['DELETE', '/users/me', { ...otherMethod, status: 204 }],
    ['DELETE', '/users/me', { ...otherMethod, text: '' }],
  ];
  assertFits(document, 'GET', '/users/me', me);
  assertFits(document, 'POST', '/items', created);
  assertFits(document, 'GET', '/users/me', refused);
  assertFits(document, 'GET', '/users/me/other', missing);
  assertFits(document, 'DELETE', '/users/me', otherMethod);
  for (const [index, [method, path, answer]] of faults.entries()) {
    assert.throws(() => assertFits(document, method, path, answer), `fault ${index}`);
  }
});

test('every example is one that its schema allows', async () => {
  const document = await publicDocument();
  let [count, parameters] = [0, 0];
  const look = (part: unknown, at: string): void => {
    if (typeof part !== 'object' || part === null) return;
    const examples = 'examples' in part && Array.isArray(part.examples) ? part.examples : [];
    for (const example of examples) assertValid(`the example at ${at}`, document, part, example);
    // Of a parameter; those are what "Try it out" begins with.
    if ('schema' in part && 'example' in part) {
      assertValid(`the example at ${at}`, document, part.schema as object, part.example);
      parameters += 1;
    }
    count += examples.length;
    for (const [key, value] of Object.entries(part)) look(value, `${at}/${key}`);
  };
  look(document.paths, '#/paths');
  look(document.components, '#/components');
  assert.ok(count > 20 && parameters > 5, `${count} examples, and ${parameters} of parameters`);
});
