import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, test } from 'node:test';
import { assertMissingScope, assertProblem, call, type ProblemBody } from '../http.ts';
import type { Item, Order, Page } from '../shapes.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway, services, withoutServices } from '../target.ts';

let alice: string;
let bob: string;
let items: Item[];
before(async () => {
  alice = await tokenOf('alice', 'items:read items:write orders:read orders:write');
  bob = await tokenOf('bob', 'items:read orders:read orders:write');
  items = [await addItem(100), await addItem(100)];
});

const itemAt = (index: number): Item => items[index] ?? assert.fail('there are too few items');

async function addItem(stock: number): Promise<Item> {
  const json = { name: `To be ordered ${randomUUID()}`, priceCents: 1250 + stock, stock };
  const { status, body, text } = await call<Item>(`${gateway}/items`, { token: alice, json });
  assert.equal(status, 201, text);
  return body;
}

async function stockOf({ id }: Item): Promise<number> {
  return (await call<Item>(`${gateway}/items/${id}`, { token: alice })).body.stock;
}

function orderOne(token: string, { id }: Item, headers: Record<string, string> = {}) {
  const json = { lines: [{ itemId: id, quantity: 1 }] };
  return call<Order & ProblemBody>(`${gateway}/orders`, { token, json, headers });
}

/** The cancelled order, or the problem. */
function cancel(token: string, id: string) {
  return call<Order & ProblemBody>(`${gateway}/orders/${id}/cancel`, { token, method: 'POST' });
}

async function order(token: string): Promise<Order> {
  const lines = [
    { itemId: itemAt(0).id, quantity: 2 },
    { itemId: itemAt(1).id, quantity: 1 },
  ];
  const { status, headers, body, text } = await call<Order>(`${gateway}/orders`, { token, json: { lines } });
  assert.equal(status, 201, text);
  assert.equal(headers.get('location'), `/orders/${body.id}`);
  return body;
}

test('an order takes the prices of the items, and its owner reads it back and finds it listed', async () => {
  const before = await stockOf(itemAt(0));
  const placed = await order(alice);
  assert.equal(placed.status, 'confirmed');
  assert.equal(await stockOf(itemAt(0)), before - 2);
  assert.equal(placed.totalCents, 2 * itemAt(0).priceCents + itemAt(1).priceCents);
  assert.deepEqual(
    placed.lines.map(({ name }) => name),
    [itemAt(0).name, itemAt(1).name],
  );
  const { status, body } = await call<Order>(`${gateway}/orders/${placed.id}`, { token: alice });
  assert.equal(status, 200);
  assert.deepEqual(body, placed);
  const listed = await call<Page<Order>>(`${gateway}/orders`, { token: alice });
  assert.ok(listed.body.items.some(({ id }) => id === placed.id));
});

test('Z13 an order needs no items:read of the caller: the orders service reserves on its behalf', async () => {
  const token = await tokenOf('alice', 'orders:write');
  assertMissingScope(await call(`${gateway}/items`, { token }), 'items:read');
  await order(token);
});

test('Z10 of several that order the last one at once, one gets it, and the others hear which line is short', async () => {
  const last = await addItem(1);
  const answers = await Promise.all(Array.from({ length: 10 }, () => orderOne(bob, last)));
  const refused = answers.filter(({ status }) => status !== 201);
  assert.equal(refused.length, 9);
  for (const answer of refused) {
    assert.deepEqual(
      assertProblem(answer, 409).errors?.map(({ pointer }) => pointer),
      ['#/lines/0/quantity'],
    );
  }
  assert.equal(await stockOf(last), 0);
});

test('a cancelled order gives its stock back, once, and nobody else cancels it', async () => {
  const item = await addItem(5);
  const { id } = (await orderOne(alice, item)).body;
  assertProblem(await cancel(bob, id), 404);
  assert.equal(await stockOf(item), 4);
  for (let times = 0; times < 2; times++) {
    const { status, body, text } = await cancel(alice, id);
    assert.equal(status, 200, text);
    assert.equal(body.status, 'cancelled');
    assert.equal(await stockOf(item), 5);
  }
});

test('a demo order can be cancelled, and its items are in stock again', async () => {
  const listed = await call<Page<Order>>(`${gateway}/orders?limit=100`, { token: bob });
  const order = listed.body.items.find(({ createdAt }) => createdAt === '2026-02-03T12:00:00.000Z');
  const [line] = order?.lines ?? [];
  assert.ok(order && line, 'the demo has no such order');
  const read = () => call<Item>(`${gateway}/items/${line.itemId}`, { token: bob });
  const { stock } = (await read()).body;
  const wasCancelled = order.status === 'cancelled';
  assert.equal((await cancel(bob, order.id)).status, 200);
  assert.equal((await read()).body.stock, stock + (wasCancelled ? 0 : line.quantity));
});

test('Z11 R41 an order that is sent again with its Idempotency-Key is the same order, and another one is 422', async () => {
  const item = await addItem(5);
  const headers = { 'idempotency-key': randomUUID() };
  const first = await orderOne(alice, item, headers);
  const again = await orderOne(alice, item, headers);
  assert.equal(again.status, 201, again.text);
  assert.equal(again.text, first.text);
  assert.equal(again.headers.get('location'), first.headers.get('location'));
  assert.equal(await stockOf(item), 4);
  assertProblem(await orderOne(alice, itemAt(0), headers), 422);
});

test('items are reserved by services alone', async () => {
  const path = `/items/${itemAt(0).id}/reservations`;
  const json = { id: randomUUID(), quantity: 1 };
  for (const origin of [gateway, ...(services ? [services.items] : [])]) {
    assertMissingScope(await call(`${origin}${path}`, { token: alice, json }), 'items:reserve');
    assertMissingScope(
      await call(`${origin}${path}/${json.id}`, { token: alice, method: 'DELETE' }),
      'items:reserve',
    );
  }
});

test("Z01 someone else's order is 404 with the body of a free id, and not in the list", async () => {
  const { id } = await order(alice);
  const origins = [gateway, ...(services ? [services.orders] : [])];
  for (const origin of origins) {
    const bodies = [];
    for (const asked of [id, randomUUID()]) {
      const answer = await call(`${origin}/orders/${asked}`, { token: bob });
      const { requestId: _, instance: __, ...rest } = assertProblem(answer, 404);
      bodies.push(rest);
    }
    assert.deepEqual(bodies[0], bodies[1]);
  }
  const listed = await call<Page<Order>>(`${gateway}/orders?limit=100`, { token: bob });
  assert.ok(listed.body.items.every((listedOrder) => listedOrder.id !== id));
});

test('T11 a wrong scope is 403, and the scope is named', async () => {
  const reader = await tokenOf('alice', 'orders:read');
  const writer = await tokenOf('alice', 'orders:write');
  const json = { lines: [{ itemId: itemAt(0).id, quantity: 1 }] };
  assertMissingScope(await call(`${gateway}/orders`, { token: reader, json }), 'orders:write');
  assertMissingScope(await call(`${gateway}/orders`, { token: writer }), 'orders:read');
});

test('Z05 a wrong scope is 403 at the service itself', { skip: withoutServices }, async () => {
  const token = await tokenOf('alice', 'profile:read');
  assertMissingScope(await call(`${services?.orders}/orders`, { token }), 'orders:read');
  assertMissingScope(await call(`${services?.items}/items`, { token }), 'items:read');
  const other = await tokenOf('alice', 'items:read');
  assertMissingScope(await call(`${services?.users}/users/me`, { token: other }), 'profile:read');
});

test('Z09 an order of nothing, of impossible quantities or of unknown items changes nothing', async () => {
  const count = async () =>
    (await call<Page<Order>>(`${gateway}/orders?limit=100`, { token: bob })).body.items.length;
  const before = await count();
  const itemId = itemAt(0).id;
  const bodies: unknown[] = [
    { lines: [] },
    { lines: [{ itemId: randomUUID(), quantity: 1 }] },
    { lines: [{ itemId: 'no-id', quantity: 1 }] },
    ...[0, -1, 1.5, '1', 2 ** 53, null].map((quantity) => ({ lines: [{ itemId, quantity }] })),
    { lines: [{ itemId, quantity: 1, unitPriceCents: 0 }] },
    { lines: [{ itemId, quantity: 1 }], totalCents: 0 },
  ];
  for (const json of bodies) {
    const problem = assertProblem(await call(`${gateway}/orders`, { token: bob, json }), 422);
    assert.ok(problem.errors?.[0]?.pointer, JSON.stringify(json));
  }
  const huge = `{"lines":[{"itemId":"${itemId}","quantity":1e309}]}`;
  const headers = { 'content-type': 'application/json' };
  assertProblem(await call(`${gateway}/orders`, { token: bob, body: huge, headers }), 422);
  assert.equal(await count(), before);
});
