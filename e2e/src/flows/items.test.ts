import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { assertMissingScope, assertProblem, call } from '../http.ts';
import type { Item, Page, User } from '../shapes.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway } from '../target.ts';

let token: string;
before(async () => {
  token = await tokenOf('alice', 'items:read items:write');
});

const list = (query: string) => call<Page<Item>>(`${gateway}${query}`, { token });

async function add(name: string): Promise<Item> {
  const json = { name, description: 'For a test', priceCents: 1250, stock: 3 };
  const { status, headers, body } = await call<Item>(`${gateway}/items`, { token, json });
  assert.equal(status, 201);
  assert.equal(headers.get('location'), `/items/${body.id}`);
  return body;
}

test('an item is read back as it was added, and belongs to who added it', async () => {
  const added = await add(`Lamp ${randomUUID()}`);
  assert.equal(added.ownerId, demoAccounts.alice.id);
  assert.equal(added.priceCents, 1250);
  const { status, body } = await call<Item>(`${gateway}/items/${added.id}`, { token });
  assert.equal(status, 200);
  assert.deepEqual(body, added);
});

test('H41 names come back as they were sent, byte for byte', async () => {
  const names = [
    '☃ 🦔 ÅÄÖ',
    "'; drop table items; --",
    '<script>alert(1)</script>',
    '\u202eright to left',
    '{{7*7}}',
  ];
  for (const name of names) assert.equal((await add(name)).name, name);
});

test('Z17 an item is changed and removed by whoever knows its present version, its owner or an admin', async () => {
  const { id } = await add(`Chest ${randomUUID()}`);
  const url = `${gateway}/items/${id}`;
  const send = <Body>(method: string, as: string, version?: string, json?: unknown) =>
    call<Body>(url, {
      method,
      token: as,
      headers: version === undefined ? {} : { 'if-match': version },
      ...(json !== undefined && { json }),
    });
  const version = (await call(url, { token })).headers.get('etag') ?? '';
  assert.match(version, /^"\d+"$/);
  assertProblem(await send('PATCH', token, undefined, { stock: 1 }), 428);
  const changed = await send<Item>('PATCH', token, version, { stock: 1 });
  assert.equal(changed.status, 200);
  assert.equal(changed.body.stock, 1);
  assertProblem(await send('PATCH', token, version, { stock: 2 }), 412);
  assertProblem(await send('DELETE', token, version), 412);

  const next = changed.headers.get('etag') ?? '';
  assertProblem(await send('PATCH', await tokenOf('bob', 'items:write'), next, { stock: 2 }), 403);
  const { body } = await call<Item>(url, { token });
  assert.deepEqual(body, changed.body);
  assert.equal((await send('DELETE', await tokenOf('admin', 'items:write'), next)).status, 204);
  assertProblem(await call(url, { token }), 404);
});

test('pages hold every item once, in order, up to the last', async () => {
  const mark = randomUUID();
  const added = [await add(`${mark} one`), await add(`${mark} two`), await add(`${mark} three`)];
  const first = await list(`/items?q=${mark}&limit=2`);
  assert.equal(first.body.items.length, 2);
  assert.ok(first.body.next);
  const second = await list(`/items?q=${mark}&limit=2&cursor=${encodeURIComponent(first.body.next)}`);
  assert.equal(second.body.next, null);
  const ids = [...first.body.items, ...second.body.items].map(({ id }) => id);
  assert.deepEqual(ids, added.map(({ id }) => id).reverse());
});

test('search takes the text as it is, in any case, wildcards included', async () => {
  const mark = randomUUID();
  const { id } = await add(`${mark} 100%_pure`);
  const found = async (q: string) =>
    (await list(`/items?q=${encodeURIComponent(q)}`)).body.items.map((item) => item.id);
  assert.deepEqual(await found(`${mark.toUpperCase()} 100%_PURE`), [id]);
  assert.deepEqual(await found(`${mark} %`), []);
  assert.deepEqual(await found(`${mark} 1___`), []);
});

test('/users/me/items lists the items of the caller alone', async () => {
  const { id } = await add(`Mine ${randomUUID()}`);
  const mine = await list('/users/me/items?limit=100');
  assert.ok(mine.body.items.some((item) => item.id === id));
  for (const item of mine.body.items) assert.equal(item.ownerId, demoAccounts.alice.id);
  const bob = await tokenOf('bob', 'items:read');
  const bobs = await call<Page<Item>>(`${gateway}/users/me/items?limit=100`, { token: bob });
  assert.ok(bobs.body.items.length > 0);
  for (const item of bobs.body.items) assert.equal(item.ownerId, demoAccounts.bob.id);
});

test('T11 adding an item without items:write is 403, and the scope is named', async () => {
  const reader = await tokenOf('alice', 'items:read');
  const json = { name: 'Not allowed', priceCents: 1, stock: 1 };
  assertMissingScope(await call(`${gateway}/items`, { token: reader, json }), 'items:write');
});

test('Z07 nobody sets an owner, an id or a date', async () => {
  const json = { name: 'Forged', priceCents: 1, stock: 1 };
  for (const field of ['ownerId', 'id', 'createdAt', 'currency']) {
    const forged = { ...json, [field]: demoAccounts.bob.id };
    const { errors } = assertProblem(await call(`${gateway}/items`, { token, json: forged }), 422);
    assert.equal(errors?.[0]?.pointer, `#/${field}`);
  }
});

test('an account renames itself, and nothing else of it changes', async () => {
  const johndoe = await tokenOf('johndoe', 'profile:read profile:write');
  const rename = (json: object) =>
    call<User>(`${gateway}/users/me`, { token: johndoe, method: 'PATCH', json });
  const { body: original } = await call<User>(`${gateway}/users/me`, { token: johndoe });
  const renamed = await rename({ displayName: 'Jane ☃ Doe' });
  assert.equal(renamed.status, 200);
  assert.deepEqual(renamed.body, { ...original, displayName: 'Jane ☃ Doe' });
  assert.equal((await rename({ displayName: 'x', roles: ['admin'] })).status, 422);
  assert.deepEqual((await rename({ displayName: original.displayName })).body, original);
});
