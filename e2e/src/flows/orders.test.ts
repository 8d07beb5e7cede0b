import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, test } from 'node:test';
import { assertMissingScope, assertProblem, call } from '../http.ts';
import type { Item, Order, Page } from '../shapes.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway, services, withoutServices } from '../target.ts';

let alice: string;
let bob: string;
let items: Item[];
before(async () => {
  alice = await tokenOf('alice', 'items:read orders:read orders:write');
  bob = await tokenOf('bob', 'items:read orders:read orders:write');
  items = (await call<Page<Item>>(`${gateway}/items?limit=2`, { token: alice })).body.items;
});

const itemAt = (index: number): Item => items[index] ?? assert.fail('the demo has too few items');

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
  const placed = await order(alice);
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

test('Z13 an order needs no items:read of the caller: the orders service asks for the prices itself', async () => {
  const token = await tokenOf('alice', 'orders:write');
  assertMissingScope(await call(`${gateway}/items`, { token }), 'items:read');
  await order(token);
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
