import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { assertProblem, createTestBench, pointersOf, testRefusals } from '@gatehouse/service-kit/testing';
import { cpuMs, realServer, startPostgres } from '@gatehouse/test-kit';
import { items } from '../src/app.ts';
import { items as itemTable } from '../src/schema.ts';

const bench = await createTestBench();
after(bench.close);
const service = await bench.start(items);

testRefusals(service, bench, {
  '/items/{id}': async (sub) => `/items/${(await add({ ...newCaller(), sub })).id}`,
});

const newCaller = () => ({ sub: randomUUID(), scope: 'items:read items:write' });
const lamp = { name: 'Lamp', description: 'Gives light.', priceCents: 1250, stock: 3 };
const itemFields = [
  'id',
  'name',
  'description',
  'priceCents',
  'currency',
  'stock',
  'ownerId',
  'createdAt',
  'updatedAt',
];

const add = async (as: Record<string, unknown>, changes: Record<string, unknown> = {}) => {
  const answer = await service.call('POST', '/items', { as, json: { ...lamp, ...changes } });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
};

/** A millisecond apart: what is added through the API may share one, and is in no certain order then. */
const addInTurn = ({ sub }: { sub: string }, ...names: string[]) =>
  bench.db
    .insert(itemTable)
    .values(names.map((name, index) => ({ ...lamp, ownerId: sub, name, createdAt: new Date(1e12 + index) })));

const namesOf = (answer: { body: { items: { name: string }[] } }) =>
  answer.body.items.map(({ name }) => name);

test('POST /items answers 201 with the item, which Location leads to', async () => {
  const as = newCaller();
  const created = await service.call('POST', '/items', { as, json: lamp });
  assert.equal(created.status, 201);
  const { id, createdAt, updatedAt, ...rest } = created.body;
  assert.deepEqual(rest, { ...lamp, currency: 'EUR', ownerId: as.sub });
  assert.equal(new Date(createdAt).toISOString(), createdAt);
  assert.equal(updatedAt, createdAt);
  assert.equal(created.headers.get('location'), `/items/${id}`);

  const read = await service.call('GET', `/items/${id}`, { as });
  assert.equal(read.status, 200);
  assert.deepEqual(read.body, created.body);
});

test('everyone with the scope reads an item, a client for itself too', async () => {
  const { id } = await add(newCaller());
  for (const as of [{ sub: randomUUID() }, { sub: 'reports', client_id: 'reports' }]) {
    assert.equal((await service.call('GET', `/items/${id}`, { as })).status, 200);
  }
});

test('Z08 every answer has the declared fields and no other', async () => {
  const as = newCaller();
  const { id } = await add(as);
  const answers = await Promise.all(
    [`/items/${id}`, '/items', '/users/me/items'].map((path) => service.call('GET', path, { as })),
  );
  for (const { body } of answers) {
    for (const item of body.items ?? [body])
      assert.deepEqual(Object.keys(item).sort(), [...itemFields].sort());
  }
});

test('Z07 POST /items takes no field that the service sets, and adds nothing then', async () => {
  const as = newCaller();
  const set = {
    id: randomUUID(),
    ownerId: randomUUID(),
    currency: 'XTS',
    createdAt: new Date(0),
    updatedAt: 0,
  };
  for (const [field, value] of Object.entries({ ...set, role: 'admin', isAdmin: true, owner_id: 'x' })) {
    const answer = await service.call('POST', '/items', { as, json: { ...lamp, [field]: value } });
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), [`#/${field}`]);
  }
  assert.deepEqual((await service.call('GET', '/users/me/items', { as })).body.items, []);
});

test('H32 long input that is made to be hard to read keeps the service busy for a moment only', async () => {
  // What takes a time that grows with the square of the length takes several times as long as this.
  const mostMs = 100;
  const as = newCaller();
  const { id } = await add(as);
  const patch = (tags: string) =>
    service.call('PATCH', `/items/${id}`, { as, json: lamp, headers: { 'if-match': tags } });
  const post = (text: string) => service.call('POST', '/items', { as, text });
  const requests = {
    'a deep array': () => post('['.repeat(30_000) + ']'.repeat(30_000)),
    'a deep object': () => post('{"name":'.repeat(6_500) + '}'.repeat(6_500)),
    'many fields': () => post(`{${Array.from({ length: 6_000 }, (_, n) => `"a${n}":0`)}}`),
    'one field many times': () => post(`{${'"name":"",'.repeat(6_000)}"name":""}`),
    'a number of many digits': () => post(`{"priceCents":${'9'.repeat(60_000)}}`),
    'a name of spaces': () => post(JSON.stringify({ ...lamp, name: `${' '.repeat(60_000)}x` })),
    'a name of escapes': () => post(`{"name":"${'\\ud800'.repeat(9_900)}"}`),
    'a cursor of signs': () => service.call('GET', `/items?cursor=${'.1'.repeat(7_000)}`, { as }),
    'an id of digits': () => service.call('GET', `/items/${'0-'.repeat(7_000)}`, { as }),
    'many parameters': () => service.call('GET', `/items?${'a=b&'.repeat(3_500)}`, { as }),
    'many entity tags': () => patch(`${'"1" , '.repeat(2_000)}x`),
    'an entity tag of quotes': () => patch(`${'"'.repeat(14_000)},`),
    'an entity tag behind spaces': () => patch(`"1"${' '.repeat(14_000)}x`),
  };
  for (const [name, request] of Object.entries(requests)) {
    let status = 0;
    const spent = await cpuMs(async () => {
      ({ status } = await request());
    }, mostMs);
    assert.ok(spent < mostMs, `${name} took ${spent} ms`);
    assert.ok(status < 500, `${name}: ${status}`);
  }
});

test('Z09 POST /items takes whole numbers within their limits', async () => {
  const as = newCaller();
  const limits = { priceCents: 100_000_000, stock: 1_000_000 };
  for (const [field, limit] of Object.entries(limits)) {
    assert.equal((await add(as, { [field]: 0 }))[field], 0);
    assert.equal((await add(as, { [field]: limit }))[field], limit);
    for (const number of [
      '-1',
      '1.5',
      '1e309',
      '-1e309',
      '9007199254740992',
      `${limit + 1}`,
      '"1"',
      'null',
      'true',
    ]) {
      const text = JSON.stringify({ ...lamp, [field]: '?' }).replace('"?"', number);
      const answer = await service.call('POST', '/items', { as, text });
      assertProblem(answer, 422);
      assert.deepEqual([...new Set(pointersOf(answer))], [`#/${field}`], number);
    }
  }
});

test('POST /items takes text within its limits', async () => {
  const as = newCaller();
  await add(as, { name: 'x'.repeat(120), description: 'x'.repeat(2000) });
  assert.equal((await add(as, { name: '  Lamp\n' })).name, 'Lamp');
  assert.equal((await add(as, { description: undefined })).description, '');
  const refused = {
    name: ['', '   ', 'x'.repeat(121), 'nul\0', 'half \ud800', 1, null, [], {}, undefined],
    description: ['x'.repeat(2001), '\0', '\udc00', 1, null],
  };
  for (const [field, values] of Object.entries(refused)) {
    for (const value of values) {
      const answer = await service.call('POST', '/items', { as, json: { ...lamp, [field]: value } });
      assertProblem(answer, 422);
      assert.deepEqual([...new Set(pointersOf(answer))], [`#/${field}`]);
    }
  }
});

test('H41 hostile text comes back as it went in', async () => {
  const as = newCaller();
  const texts = [
    `'; drop table items.items; --`,
    '<script>alert(1)</script>',
    '$'.concat('{7*7} {{7*7}} %s %n %00'),
    '👩‍👩‍👧‍👦 e\u0301 \u202Eright to left\u202C \uFEFF\u200B',
    '\\ \\0 \\u0000 " \' ` \r\n\t\x01\x7f',
    '{"$ne":null}',
    '\ufffe\uffff',
  ];
  for (const text of texts) {
    const { id } = await add(as, { name: `a${text}z`, description: text });
    const { body } = await service.call('GET', `/items/${id}`, { as });
    assert.equal(body.name, `a${text}z`);
    assert.equal(body.description, text);
  }
});

const patch = (
  as: Record<string, unknown>,
  id: string,
  json: unknown,
  headers: Record<string, string> = {},
) => service.call('PATCH', `/items/${id}`, { as, json, headers: { 'If-Match': '*', ...headers } });
const remove = (as: Record<string, unknown>, id: string, version = '*') =>
  service.call('DELETE', `/items/${id}`, { as, headers: { 'If-Match': version } });

test('PATCH /items/{id} changes what the merge patch names, and null takes the description away', async () => {
  const as = newCaller();
  const item = await add(as);
  const type = { 'Content-Type': 'application/merge-patch+json' };
  const changed = await patch(as, item.id, { name: ' Lantern ', stock: 7 }, type);
  assert.equal(changed.status, 200, JSON.stringify(changed.body));
  const { updatedAt, ...rest } = changed.body;
  assert.deepEqual({ ...rest, updatedAt: item.updatedAt }, { ...item, name: 'Lantern', stock: 7 });
  assert.ok(updatedAt >= item.updatedAt);
  const { body } = await patch(as, item.id, { description: null }, type);
  assert.equal(body.description, '');
  assert.deepEqual((await service.call('GET', `/items/${item.id}`, { as })).body, body);
  for (const field of ['name', 'priceCents', 'stock']) {
    const answer = await patch(as, item.id, { [field]: null });
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), [`#/${field}`]);
  }
  const other = await patch(as, item.id, {}, { 'Content-Type': 'application/json-patch+json' });
  assertProblem(other, 415);
  assert.match(other.headers.get('accept-patch') ?? '', /application\/merge-patch\+json/);
});

test('Z17 a change or a removal that names another version than the present one is 412 and does nothing', async () => {
  const as = newCaller();
  const { id } = await add(as);
  const read = () => service.call('GET', `/items/${id}`, { as });
  const first = (await read()).headers.get('etag') ?? '';
  const changed = await patch(as, id, { stock: 4 }, { 'If-Match': first });
  assert.equal(changed.status, 200);
  const second = changed.headers.get('etag') ?? '';
  assert.notEqual(second, first);
  for (const version of [first, `W/${second}`, '"x"', '"1e0"', '']) {
    assertProblem(await patch(as, id, { stock: 9 }, { 'If-Match': version || '""' }), 412);
    assertProblem(await remove(as, id, version || '""'), 412);
  }
  const unchanged = await read();
  assert.deepEqual(unchanged.body, changed.body);
  assert.equal(unchanged.headers.get('etag'), second);
  assert.equal((await patch(as, id, { stock: 5 }, { 'If-Match': `"x", ${second}` })).status, 200);
});

test('Z17 of twenty changes that name the same version, one is done', async () => {
  const as = newCaller();
  const { id } = await add(as);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => patch(as, id, { stock: 100 + index }, { 'If-Match': '"1"' })),
  );
  const statuses = answers.map(({ status }) => status);
  assert.deepEqual([...new Set(statuses)].sort(), [200, 412]);
  const done = answers.filter(({ status }) => status === 200);
  assert.equal(done.length, 1);
  assert.deepEqual((await service.call('GET', `/items/${id}`, { as })).body, done[0]?.body);
});

test('an item that the reader has already is 304', async () => {
  const as = newCaller();
  const { id } = await add(as);
  // Without the second header, fetch asks for more than a 304.
  const ask = (version: string) =>
    service.call('GET', `/items/${id}`, {
      as,
      headers: { 'If-None-Match': version, 'Cache-Control': 'max-age=0' },
    });
  const known = await ask('"1"');
  assert.equal(known.status, 304);
  assert.equal(known.body, '');
  assert.equal((await ask('"2"')).status, 200);
});

test('DELETE /items/{id} removes the item for everyone, once', async () => {
  const as = newCaller();
  const { id } = await add(as);
  const gone = await remove(as, id, '"1"');
  assert.equal(gone.status, 204);
  assertProblem(await service.call('GET', `/items/${id}`, { as }), 404);
  assertProblem(await remove(as, id), 404);
  assertProblem(await patch(as, id, {}), 404);
});

test('an admin changes and removes the items of others, and the owner stays the owner', async () => {
  const owner = newCaller();
  const { id } = await add(owner);
  const admin = { ...newCaller(), roles: ['admin'] };
  const { status, body } = await patch(admin, id, { name: 'Seized' });
  assert.equal(status, 200);
  assert.equal(body.ownerId, owner.sub);
  assert.equal((await remove(admin, id)).status, 204);
});

test('GET /items/{id} answers 404 to a free id and 422 to what is no id', async () => {
  const as = newCaller();
  assertProblem(await service.call('GET', `/items/${randomUUID()}`, { as }), 404);
  for (const id of ['1', 'null', `${randomUUID()}x`, "'%20OR%201=1--", '%00', '%F0%9F%91%BB']) {
    const answer = await service.call('GET', `/items/${id}`, { as });
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), ['/path/id'], id);
  }
  assertProblem(await service.call('GET', '/items/%ff', { as }), 400);
  assertProblem(await service.call('GET', `/items/${randomUUID()}?fields=all`, { as }), 422);
});

test('a list shows every item once, newest first, however many share a millisecond', async () => {
  const as = newCaller();
  const rows = Array.from({ length: 23 }, (_, index) => ({
    ...lamp,
    ownerId: as.sub,
    name: `item ${index}`,
    createdAt: new Date(1_700_000_000_000 + Math.floor(index / 8)),
  }));
  await bench.db.insert(itemTable).values(rows);

  const seen: { id: string; createdAt: string }[] = [];
  let path = '/users/me/items?limit=5';
  for (;;) {
    const { status, body } = await service.call('GET', path, { as });
    assert.equal(status, 200);
    seen.push(...body.items);
    if (body.next === null) break;
    assert.equal(body.items.length, 5);
    // What is added meanwhile is newer than the cursor: it must not move the pages that follow.
    await add(as, { name: 'late' });
    path = `/users/me/items?limit=5&cursor=${body.next}`;
  }
  assert.equal(new Set(seen.map(({ id }) => id)).size, 23);
  const times = seen.map(({ createdAt }) => createdAt);
  assert.deepEqual(times, times.toSorted().reverse());
});

test('a list ends with null also when the last page is full', async () => {
  const as = newCaller();
  await add(as);
  await add(as);
  assert.equal((await service.call('GET', '/users/me/items?limit=2', { as })).body.next, null);
  assert.notEqual((await service.call('GET', '/users/me/items?limit=1', { as })).body.next, null);
});

test('a list has 20 items without a limit and at most 100 with one', async () => {
  const as = newCaller();
  await bench.db.insert(itemTable).values(Array.from({ length: 101 }, () => ({ ...lamp, ownerId: as.sub })));
  const lengthOf = async (query: string) =>
    (await service.call('GET', `/users/me/items${query}`, { as })).body.items.length;
  assert.equal(await lengthOf(''), 20);
  assert.equal(await lengthOf('?limit=100'), 100);
});

test('Z12 H31 a list refuses a query that it does not know', async () => {
  const as = newCaller();
  const queries = {
    '/query/limit': [
      'limit=0',
      'limit=-1',
      'limit=101',
      'limit=1e9',
      'limit=1.5',
      'limit=',
      'limit=x',
      'limit=1&limit=2',
    ],
    '/query/cursor': [
      'cursor=',
      'cursor=x',
      'cursor=bnVsbA',
      `cursor=${'x'.repeat(5000)}`,
      'cursor=a&cursor=b',
    ],
    '/query/q': ['q=%00', `q=${'x'.repeat(121)}`, 'q=a&q=b'],
  };
  for (const path of ['/items', '/users/me/items']) {
    for (const [pointer, texts] of Object.entries(queries)) {
      for (const text of texts) {
        const answer = await service.call('GET', `${path}?${text}`, { as });
        assertProblem(answer, 422);
        assert.deepEqual([...new Set(pointersOf(answer))], [pointer], text);
      }
    }
    for (const text of [
      'offset=1',
      'sort=name',
      'ownerId=x',
      'q[$ne]=1',
      'limit[]=1',
      '__proto__=1',
      'constructor=1',
    ]) {
      assertProblem(await service.call('GET', `${path}?${text}`, { as }), 422);
    }
  }
});

test('Z12 a cursor made up by the caller is refused or leads to a page, whatever it says', async () => {
  const as = newCaller();
  const positions = [
    '0.x',
    `0.${randomUUID()}`,
    `99999999999999.${randomUUID()}`,
    `1e5.${randomUUID()}`,
    `-1.${randomUUID()}`,
  ];
  for (const position of [
    ...positions,
    `${'9'.repeat(15)}.${randomUUID()}`,
    `${'9'.repeat(20)}.${randomUUID()}`,
    `1.${randomUUID()}' or 1=1`,
    '[0,1]',
  ]) {
    const cursor = Buffer.from(position).toString('base64url');
    const { status } = await service.call('GET', `/items?cursor=${cursor}`, { as });
    assert.ok([200, 422].includes(status), `${position}: ${status}`);
  }
});

test('q finds a part of the name in any case, and knows no wildcards', async () => {
  const as = newCaller();
  for (const name of ['100% wool', '100 wool', 'snake_case', 'snakeXcase', 'back\\slash', 'backslash'])
    await add(as, { name });
  const search = async (q: string) =>
    namesOf(await service.call('GET', `/users/me/items?q=${encodeURIComponent(q)}`, { as })).sort();
  assert.deepEqual(await search('WOOL'), ['100 wool', '100% wool']);
  assert.deepEqual(await search('%'), ['100% wool']);
  assert.deepEqual(await search('e_c'), ['snake_case']);
  assert.deepEqual(await search('\\'), ['back\\slash']);
  assert.deepEqual(await search("' or true --"), []);
});

test('q and the cursor work together', async () => {
  const as = newCaller();
  await addInTurn(as, 'red 1', 'blue', 'red 2', 'red 3');
  const first = await service.call('GET', '/users/me/items?q=red&limit=2', { as });
  assert.deepEqual(namesOf(first), ['red 3', 'red 2']);
  const second = await service.call('GET', `/users/me/items?q=red&limit=2&cursor=${first.body.next}`, { as });
  assert.deepEqual(namesOf(second), ['red 1']);
  assert.equal(second.body.next, null);
});

test('Z01 Z02 GET /users/me/items lists only the items of the caller, with a foreign cursor too', async () => {
  const [alice, bob] = [newCaller(), newCaller()];
  await addInTurn(alice, 'of alice 1', 'of alice 2');
  await addInTurn(bob, 'of bob');
  const ofAlice = await service.call('GET', '/users/me/items?limit=1', { as: alice });
  assert.deepEqual(namesOf(ofAlice), ['of alice 2']);
  const path = `/users/me/items?cursor=${ofAlice.body.next}`;
  assert.deepEqual(namesOf(await service.call('GET', path, { as: bob })), ['of bob']);
  assert.deepEqual(namesOf(await service.call('GET', '/users/me/items', { as: newCaller() })), []);
});

test('GET /items lists the items of everyone', async () => {
  const [alice, bob] = [newCaller(), newCaller()];
  const tag = randomUUID();
  await add(alice, { name: `${tag} a` });
  await add(bob, { name: `${tag} b` });
  const answer = await service.call('GET', `/items?q=${tag}`, { as: newCaller() });
  assert.deepEqual(namesOf(answer).sort(), [`${tag} a`, `${tag} b`]);
});

test('H13 a known path with another method is 405 and says which there are', async () => {
  const id = randomUUID();
  const as = newCaller();
  for (const [path, allow] of Object.entries({
    '/items': 'GET, POST, HEAD',
    '/users/me/items': 'GET, HEAD',
    [`/items/${id}`]: 'GET, PATCH, DELETE, HEAD',
  })) {
    const answer = await service.call('PUT', path, {
      as,
      json: {},
      headers: { 'X-HTTP-Method-Override': 'GET' },
    });
    assertProblem(answer, 405);
    assert.equal(answer.headers.get('allow'), allow);
  }
  for (const path of ['/ITEMS', '/items/', '/items.json', `/items/${id}/x.css`, '/users/me/items/'])
    assertProblem(await service.call('GET', path, { as }), 404);
});

test('DEMO=true gives alice, bob and johndoe items, once, however often the service starts', async () => {
  const counts = { alice: 3, bob: 3, johndoe: 2, carol: 0 };
  for (let starts = 0; starts < 2; starts++) {
    const demo = await bench.start(items, { DEMO: 'true' });
    for (const [username, count] of Object.entries(counts)) {
      const { id } = demoAccounts[username as keyof typeof counts];
      const answer = await demo.call('GET', '/users/me/items', { as: { sub: id } });
      assert.equal(answer.status, 200);
      assert.equal(answer.body.items.length, count, username);
    }
  }
});

test('a PostgreSQL server pages and searches as the embedded one does', realServer('postgres'), async (t) => {
  const { url } = await startPostgres(t);
  const real = await bench.start(items, { DATABASE_URL: url });
  const as = newCaller();
  for (const name of ['50% lamp', 'lamp', 'LAMP']) {
    assert.equal((await real.call('POST', '/items', { as, json: { ...lamp, name } })).status, 201);
  }
  const names: string[] = [];
  for (let path = '/items?q=lamp&limit=1'; path !== ''; ) {
    const answer = await real.call('GET', path, { as });
    assert.equal(answer.status, 200);
    names.push(...namesOf(answer));
    path = answer.body.next === null ? '' : `/items?q=lamp&limit=1&cursor=${answer.body.next}`;
  }
  assert.deepEqual(names.sort(), ['50% lamp', 'LAMP', 'lamp']);
  assert.deepEqual(namesOf(await real.call('GET', '/items?q=0%25', { as })), ['50% lamp']);
});
