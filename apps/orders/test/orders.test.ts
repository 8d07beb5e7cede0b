import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { assertProblem, pointersOf, testRefusals } from '@gatehouse/service-kit/testing';
import { realServer, startPostgres } from '@gatehouse/test-kit';
import { orderLines, orders as orderTable } from '../src/schema.ts';
import { createOrderStore } from '../src/store.ts';
import { exchangedClaims, patiently, startOrders } from './start-orders.ts';

const bench = await startOrders();
after(bench.close);
const { orders, items } = bench;

testRefusals(orders, bench, {
  '/orders/{id}': async (sub) => {
    const { body } = await post({ ...newCaller(), sub }, { itemId: lampId, quantity: 1 });
    return `/orders/${body.id}`;
  },
});

const newCaller = () => ({ sub: randomUUID(), scope: 'orders:read orders:write' });
const seller = { sub: randomUUID(), scope: 'items:read items:write' };

const addItem = async (name = 'Lamp', priceCents = 1250): Promise<string> => {
  const json = { name, priceCents, stock: 1_000_000 };
  const { status, body } = await items.call('POST', '/items', { as: seller, json });
  assert.equal(status, 201);
  return body.id;
};
const post = (as: Record<string, unknown>, ...lines: unknown[]) =>
  patiently(() => orders.call('POST', '/orders', { as, json: { lines } }));
const list = async (as: Record<string, unknown>, query = '') =>
  (await orders.call('GET', `/orders${query}`, { as })).body;

const lampId = await addItem();

test('POST /orders answers 201 with the order at the prices of items, which Location leads to', async () => {
  const as = newCaller();
  const ringId = await addItem('Key ring', 333);
  const created = await post(as, { itemId: ringId, quantity: 3 }, { itemId: lampId, quantity: 1 });
  assert.equal(created.status, 201, JSON.stringify(created.body));
  const { id, createdAt, ...rest } = created.body;
  assert.deepEqual(rest, {
    status: 'confirmed',
    lines: [
      { itemId: ringId, name: 'Key ring', quantity: 3, unitPriceCents: 333 },
      { itemId: lampId, name: 'Lamp', quantity: 1, unitPriceCents: 1250 },
    ],
    totalCents: 2249,
    currency: 'EUR',
  });
  assert.equal(new Date(createdAt).toISOString(), createdAt);
  assert.equal(created.headers.get('location'), `/orders/${id}`);

  const read = await orders.call('GET', `/orders/${id}`, { as });
  assert.equal(read.status, 200);
  assert.deepEqual(read.body, created.body);
  assert.deepEqual(await list(as), { items: [created.body], next: null });
});

test('the largest order has an exact total', async () => {
  const ids = await Promise.all(
    Array.from({ length: 50 }, (_, index) => addItem(`dear ${index}`, 100_000_000)),
  );
  const { status, body } = await post(newCaller(), ...ids.map((itemId) => ({ itemId, quantity: 1000 })));
  assert.equal(status, 201);
  assert.equal(body.totalCents, 5_000_000_000_000);
  assert.deepEqual(
    body.lines.map((line: { itemId: string }) => line.itemId),
    ids,
  );
});

test('Z01 GET /orders/{id} answers someone else’s order as it answers a free id', async () => {
  const [alice, bob] = [newCaller(), newCaller()];
  const { body: order } = await post(alice, { itemId: lampId, quantity: 1 });
  const read = async (id: string, as: Record<string, unknown>) => {
    const answer = await orders.call('GET', `/orders/${id}`, { as });
    assertProblem(answer, 404);
    const { requestId, instance, ...rest } = answer.body;
    assert.equal(instance, `/orders/${id}`);
    return rest;
  };
  const foreign = await read(order.id, bob);
  assert.deepEqual(foreign, await read(randomUUID(), bob));
  assert.deepEqual(foreign, await read(order.id, { ...bob, roles: ['admin'] }));
});

test('Z01 Z02 GET /orders lists only the orders of the caller, with a foreign cursor too', async () => {
  const [alice, bob] = [newCaller(), newCaller()];
  for (const as of [alice, bob, alice]) await post(as, { itemId: lampId, quantity: 1 });
  const ofAlice = await list(alice, '?limit=1');
  assert.equal(ofAlice.items.length, 1);
  assert.notEqual(ofAlice.next, null);
  const ofBob = (await list(bob)).items.map(({ id }: { id: string }) => id);
  assert.equal(ofBob.length, 1);
  const page = await list(bob, `?cursor=${ofAlice.next}`);
  for (const { id } of page.items) assert.ok(ofBob.includes(id));
  assert.deepEqual(await list(newCaller()), { items: [], next: null });
});

test('a list shows every order once with its own lines, however many share a millisecond', async () => {
  const as = newCaller();
  for (let index = 0; index < 7; index++) {
    const order = { id: randomUUID(), ownerId: as.sub, status: 'confirmed' as const, currency: 'EUR' };
    const createdAt = new Date(1_700_000_000_000 + Math.floor(index / 4));
    await bench.db.insert(orderTable).values({ ...order, totalCents: index, createdAt });
    const line = { orderId: order.id, itemId: lampId, name: 'Lamp', quantity: 1, unitPriceCents: index };
    await bench.db.insert(orderLines).values([0, 1].map((position) => ({ ...line, position })));
  }
  const totals: number[] = [];
  for (let query = '?limit=3'; query !== ''; ) {
    const page = await list(as, query);
    for (const order of page.items) {
      totals.push(order.totalCents);
      const prices = order.lines.map((line: { unitPriceCents: number }) => line.unitPriceCents);
      assert.deepEqual(prices, [order.totalCents, order.totalCents]);
    }
    query = page.next === null ? '' : `?limit=3&cursor=${page.next}`;
  }
  assert.deepEqual(totals.slice(0, 3).sort(), [4, 5, 6]);
  assert.deepEqual(totals.slice(3).sort(), [0, 1, 2, 3]);
});

test('Z12 H31 GET /orders refuses a query that it does not know', async () => {
  const as = newCaller();
  const limits = ['limit=0', 'limit=-1', 'limit=101', 'limit=1e9', 'limit=1.5', 'limit=x', 'limit=1&limit=2'];
  for (const query of [...limits, 'cursor=x', 'offset=1', 'sort=id', 'q=x', 'ownerId=x', 'status[$ne]=x']) {
    assertProblem(await orders.call('GET', `/orders?${query}`, { as }), 422);
  }
});

test('GET /orders/{id} answers 422 to what is no id', async () => {
  for (const id of ['1', `${randomUUID()}x`, "'%20OR%201=1--", '%00']) {
    const answer = await orders.call('GET', `/orders/${id}`, { as: newCaller() });
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), ['/path/id']);
  }
});

test('POST /orders names each line whose item does not exist, and orders nothing', async () => {
  const as = newCaller();
  const line = (itemId: string) => ({ itemId, quantity: 1 });
  const answer = await post(as, line(randomUUID()), line(lampId), line(randomUUID()));
  assertProblem(answer, 422);
  assert.deepEqual(pointersOf(answer), ['#/lines/0/itemId', '#/lines/2/itemId']);
  assert.deepEqual((await list(as)).items, []);
});

test('an order that cannot be stored with all its lines is not stored at all', async () => {
  const { sub } = newCaller();
  const store = createOrderStore(bench.db);
  const line = { itemId: lampId, name: 'Lamp', quantity: 1, unitPriceCents: 1 };
  const order = { ownerId: sub, idempotencyKey: undefined, fingerprint: '' };
  await assert.rejects(store.open(order, [line, { ...line, itemId: 'no uuid' }]));
  const all = await bench.db.select().from(orderTable);
  assert.deepEqual(
    all.filter(({ ownerId }) => ownerId === sub),
    [],
  );
});

test('Z09 POST /orders takes whole quantities from 1 to 1000', async () => {
  const as = newCaller();
  for (const quantity of [1, 1000]) assert.equal((await post(as, { itemId: lampId, quantity })).status, 201);
  for (const number of [
    '-1',
    '0',
    '1001',
    '1.5',
    '1e309',
    '9007199254740992',
    '"1"',
    'null',
    'true',
    '[1]',
  ]) {
    const text = `{"lines":[{"itemId":"${lampId}","quantity":${number}}]}`;
    const answer = await orders.call('POST', '/orders', { as, text });
    assertProblem(answer, 422);
    assert.deepEqual([...new Set(pointersOf(answer))], ['#/lines/0/quantity'], number);
  }
  assert.equal((await list(as)).items.length, 2);
});

test('POST /orders takes 1 to 50 lines of different items', async () => {
  const as = newCaller();
  const line = { itemId: lampId, quantity: 1 };
  const others = Array.from({ length: 50 }, () => ({ itemId: randomUUID(), quantity: 1 }));
  const refused = [[], [line, ...others], [line, line], [line, { ...line, itemId: lampId.toUpperCase() }]];
  for (const lines of refused) {
    const answer = await post(as, ...lines);
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), ['#/lines']);
  }
  for (const itemId of ['1', '../../users/me', `${lampId}/..`, `${lampId}?x`, 1, null, {}]) {
    const answer = await post(as, { ...line, itemId });
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), ['#/lines/0/itemId']);
  }
  const { body } = await post(as, { ...line, itemId: lampId.toUpperCase() });
  assert.equal(body.lines[0].itemId, lampId);
});

test('Z07 POST /orders takes no field that the service sets, and orders nothing then', async () => {
  const as = newCaller();
  const line = { itemId: lampId, quantity: 1 };
  for (const field of ['id', 'ownerId', 'status', 'total', 'totalCents', 'currency', 'createdAt']) {
    const answer = await orders.call('POST', '/orders', { as, json: { lines: [line], [field]: 1 } });
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), [`#/${field}`]);
  }
  for (const field of ['unitPriceCents', 'priceCents', 'name', 'orderId', 'position']) {
    const answer = await post(as, { ...line, [field]: 1 });
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), [`#/lines/0/${field}`]);
  }
  assert.deepEqual((await list(as)).items, []);
});

test('J32 the token that orders uses at items is good there and nowhere else', async () => {
  const as = exchangedClaims(seller.sub);
  const json = { id: randomUUID(), quantity: 1 };
  assert.equal((await items.call('POST', `/items/${lampId}/reservations`, { as, json })).status, 201);
  assertProblem(await orders.call('GET', '/orders', { as: { ...as, scope: 'orders:read' } }), 401);
});

test('H13 a known path with another method is 405 and says which there are', async () => {
  const id = randomUUID();
  for (const [path, allow] of Object.entries({
    '/orders': 'GET, POST, HEAD',
    [`/orders/${id}`]: 'GET, HEAD',
  })) {
    const answer = await orders.call('DELETE', path, { as: newCaller() });
    assertProblem(answer, 405);
    assert.equal(answer.headers.get('allow'), allow);
  }
});

test('DEMO=true gives alice and bob orders of items that the demo data has, once', async () => {
  const { orders: service } = await import('../src/app.ts');
  for (let starts = 0; starts < 2; starts++) await service.seed(bench.db);
  for (const account of [demoAccounts.alice, demoAccounts.bob]) {
    const page = await list({ sub: account.id, scope: 'orders:read' });
    assert.equal(page.items.length, 2);
    for (const order of page.items) {
      const [line] = order.lines;
      assert.equal(order.lines.length, 1);
      assert.equal(order.totalCents, line.quantity * line.unitPriceCents);
    }
  }
});

test('a PostgreSQL server keeps orders as the embedded one does', realServer('postgres'), async (t) => {
  const { url } = await startPostgres(t);
  const real = await bench.startOrdersWith({ DATABASE_URL: url });
  const as = newCaller();
  const json = { lines: [{ itemId: lampId, quantity: 2 }] };
  const created = [];
  for (let count = 0; count < 3; count++) {
    const { status, body } = await real.call('POST', '/orders', { as, json });
    assert.equal(status, 201);
    created.push(body);
  }
  const first = await real.call('GET', '/orders?limit=2', { as });
  const second = await real.call('GET', `/orders?limit=2&cursor=${first.body.next}`, { as });
  const byId = (a: { id: string }, b: { id: string }) => a.id.localeCompare(b.id);
  assert.deepEqual([...first.body.items, ...second.body.items].sort(byId), created.sort(byId));
});
