import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { items as itemsApp } from '@gatehouse/items';
import {
  assertProblem,
  pointersOf,
  type TestAnswer,
  type TestedService,
} from '@gatehouse/service-kit/testing';
import { realServer, startPostgres } from '@gatehouse/test-kit';
import { eq, sql } from 'drizzle-orm';
import type { Request, RequestHandler } from 'express';
import { orders as table } from '../src/schema.ts';
import { createOrderStore } from '../src/store.ts';
import { exchangedClaims, patiently, startOrders } from './start-orders.ts';

const bench = await startOrders();
after(bench.close);
const { orders, items } = bench;
const second = await bench.startOrdersWith({});

type Claims = Record<string, unknown>;
type Line = { itemId: string; quantity: number };
const seller = { sub: randomUUID(), scope: 'items:read items:write' };
const newCaller = (): Claims => ({ sub: randomUUID(), scope: 'orders:read orders:write' });

const add = async (stock: number, service = items): Promise<string> => {
  const json = { name: 'Lamp', priceCents: 1250, stock };
  return (await service.call('POST', '/items', { as: seller, json })).body.id;
};
const stockOf = async (itemId: string, service = items): Promise<number> =>
  (await service.call('GET', `/items/${itemId}`, { as: seller })).body.stock;

const post = (service: TestedService, as: Claims, lines: Line[], key?: string): Promise<TestAnswer> => {
  const headers = key === undefined ? {} : { 'Idempotency-Key': key };
  return service.call('POST', '/orders', { as, json: { lines }, headers });
};
const order = async (as: Claims, ...lines: Line[]) => {
  const answer = await patiently(() => post(orders, as, lines));
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
};
const cancel = (as: Claims, id: string, service = orders) =>
  service.call('POST', `/orders/${id}/cancel`, { as });
const listOf = async (as: Claims) => (await orders.call('GET', '/orders', { as })).body.items;

const until = async (isSo: () => Promise<boolean>, what: string) => {
  for (let tries = 0; !(await isSo()); tries++) {
    assert.ok(tries < 400, what);
    await delay(50);
  }
};
/** Lets all time pass that something waits for, until there is nothing to give back any more. */
const settle = () =>
  until(async () => {
    await bench.db.execute(sql`update orders.orders set release_at = now() where release_at is not null`);
    await bench.db.execute(
      sql`update items.reservations set expires_at = now() where expires_at is not null`,
    );
    const open = await bench.db.select().from(table).where(sql`${table.releaseAt} is not null`);
    return open.length === 0;
  }, 'orders are not released');
/** However late something comes that was on its way. */
const stockComesTo = (itemId: string, stock: number) =>
  until(async () => {
    await settle();
    return (await stockOf(itemId)) === stock;
  }, `the stock does not come to ${stock}`);

type Verdict = 'hang up' | 'serve, then hang up';
/** What happens to a request before it reaches items; without a verdict it is served. */
type Meddle = (req: Request) => Verdict | undefined | Promise<Verdict | undefined>;

/** In front of the real items, which serve whoever has given up meanwhile as well. */
function before(meddle: Meddle): RequestHandler {
  return async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const verdict = await meddle(req);
    if (verdict === 'hang up') return void req.socket.destroy();
    const { authorization = '', 'content-type': type } = req.headers;
    const response = await fetch(items.url + req.originalUrl, {
      method: req.method,
      headers: { authorization, ...(type && { 'content-type': type }) },
      body: chunks.length > 0 ? Buffer.concat(chunks) : null,
    });
    const text = await response.text();
    if (verdict === 'serve, then hang up') req.socket.destroy();
    else res.status(response.status).type('json').send(text);
  };
}

test('Z10 of fifty orders for the last one, through two processes, one is taken, and the others are 409', async () => {
  const itemId = await add(1);
  const line = { itemId, quantity: 1 };
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      patiently(() => post(index % 2 ? orders : second, newCaller(), [line])),
    ),
  );
  const refused = answers.filter(({ status }) => status !== 201);
  assert.equal(refused.length, 49);
  for (const answer of refused) {
    assertProblem(answer, 409);
    assert.deepEqual(pointersOf(answer), ['#/lines/0/quantity']);
  }
  assert.equal(await stockOf(itemId), 0);
  await settle();
  assert.equal(await stockOf(itemId), 0);
});

test('an order takes from the stock of each item, for good', async () => {
  const as = newCaller();
  const [one, two] = [await add(5), await add(5)];
  const { id } = await order(as, { itemId: one, quantity: 2 }, { itemId: two, quantity: 5 });
  await settle();
  assert.deepEqual([await stockOf(one), await stockOf(two)], [3, 0]);
  assert.equal((await orders.call('GET', `/orders/${id}`, { as })).body.status, 'confirmed');
});

test('Z09 an order of more than there is names each line that is short, and leaves all stock as it was', async () => {
  const as = newCaller();
  const [plenty, few, none] = [await add(9), await add(2), await add(0)];
  const lines = [plenty, few, none].map((itemId) => ({ itemId, quantity: 3 }));
  const answer = await patiently(() => post(orders, as, lines));
  assertProblem(answer, 409);
  assert.deepEqual(pointersOf(answer), ['#/lines/1/quantity', '#/lines/2/quantity']);
  assert.deepEqual(await Promise.all([plenty, few, none].map((itemId) => stockOf(itemId))), [9, 2, 0]);
  const unknown = [...lines.slice(0, 2), { itemId: randomUUID(), quantity: 1 }];
  const other = await patiently(() => post(orders, as, unknown));
  assertProblem(other, 422);
  assert.deepEqual(pointersOf(other), ['#/lines/2/itemId']);
  assert.equal(await stockOf(plenty), 9);
  assert.deepEqual(await listOf(as), []);
});

test('Z11 the same Idempotency-Key with the same body orders once, in every process, and is answered the same', async () => {
  const [as, itemId, key] = [newCaller(), await add(9), randomUUID()];
  const lines = [{ itemId, quantity: 2 }];
  const first = await patiently(() => post(orders, as, lines, key));
  assert.equal(first.status, 201, JSON.stringify(first.body));
  for (const service of [orders, second]) {
    for (const spelling of [key, `"${key}"`]) {
      const again = await post(service, as, lines, spelling);
      assert.equal(again.status, 201);
      assert.deepEqual(again.body, first.body);
      assert.equal(again.headers.get('location'), first.headers.get('location'));
    }
  }
  assert.equal(await stockOf(itemId), 7);
  assert.equal((await listOf(as)).length, 1);

  assert.equal((await cancel(as, first.body.id)).status, 200);
  assert.deepEqual((await post(orders, as, lines, key)).body, first.body);
  await settle();
  assert.equal(await stockOf(itemId), 9);
});

test('Z11 a key is its caller’s own: another caller’s is another', async () => {
  const [itemId, key, callers] = [await add(9), 'the-same', [newCaller(), newCaller()]];
  const idsOf = async () => {
    const ids: string[] = [];
    for (const as of callers)
      ids.push((await patiently(() => post(orders, as, [{ itemId, quantity: 1 }], key))).body.id);
    return ids;
  };
  const ids = await idsOf();
  assert.notEqual(ids[0], ids[1]);
  assert.deepEqual(await idsOf(), ids, 'each is answered with the own order again');
  assert.equal(await stockOf(itemId), 7);
});

test('Z11 the same key with another body is 422, and changes nothing', async () => {
  const [as, itemId, other, key] = [newCaller(), await add(9), await add(9), randomUUID()];
  const line = { itemId, quantity: 1 };
  assert.equal((await patiently(() => post(orders, as, [line], key))).status, 201);
  for (const lines of [
    [{ itemId, quantity: 2 }],
    [{ itemId: other, quantity: 1 }],
    [line, { itemId: other, quantity: 1 }],
  ]) {
    const answer = await post(second, as, lines, key);
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), ['/header/idempotency-key']);
  }
  assert.deepEqual([await stockOf(itemId), await stockOf(other)], [8, 9]);
});

test('Z11 a key is 1 to 255 visible characters, or 422', async () => {
  const [as, itemId] = [newCaller(), await add(9)];
  for (const key of ['', '""', '"', 'a b', '"a', 'a"', 'a"b', 'é', 'x'.repeat(256)]) {
    const answer = await post(orders, as, [{ itemId, quantity: 1 }], key);
    assertProblem(answer, 422);
    assert.deepEqual(pointersOf(answer), ['/header/idempotency-key'], key);
  }
  assert.equal(
    (await patiently(() => post(orders, as, [{ itemId, quantity: 1 }], '~'.repeat(255)))).status,
    201,
  );
});

test('Z11 of many at once with one key, in two processes, one orders, and the others are 409 or answered like it', async () => {
  const [as, itemId, key] = [newCaller(), await add(9), randomUUID()];
  const send = (index: number) => post(index % 2 ? orders : second, as, [{ itemId, quantity: 1 }], key);
  const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => send(index)));
  for (const { status, headers } of answers) {
    assert.ok([201, 409, 503].includes(status), String(status));
    if (status === 409) assert.match(headers.get('retry-after') ?? '', /^\d+$/);
  }
  const last = await patiently(
    () => send(0),
    ({ status }) => status === 201,
  );
  const ids = answers.flatMap(({ status, body }) => (status === 201 ? [body.id] : []));
  assert.ok(ids.every((id) => id === last.body.id));
  await settle();
  assert.equal(await stockOf(itemId), 8);
  assert.equal((await listOf(as)).length, 1);
});

test('Z11 a key in flight is 409 in every process, with Retry-After, and free again when its order fails', async () => {
  const [as, itemId, key] = [newCaller(), await add(9), randomUUID()];
  const lines = [{ itemId, quantity: 1 }];
  const reached = Promise.withResolvers<void>();
  const slow = await bench.startOrdersWith({ items: () => reached.resolve() });
  const first = post(slow, as, lines, key);
  await reached.promise;
  const meanwhile = await post(second, as, lines, key);
  assertProblem(meanwhile, 409);
  assert.match(meanwhile.headers.get('retry-after') ?? '', /^\d+$/);
  assertProblem(await post(second, as, [{ itemId, quantity: 2 }], key), 422);
  assert.deepEqual(await listOf(as), [], 'nobody sees a pending order');
  assertProblem(await first, 503);
  assert.equal((await patiently(() => post(second, as, lines, key))).status, 201);
  await settle();
  assert.equal(await stockOf(itemId), 8);
});

test('R41 whoever repeats a POST whose answer was lost finds the one order that it made', async () => {
  const [as, itemId, key] = [newCaller(), await add(9), randomUUID()];
  const lines = [{ itemId, quantity: 1 }];
  const token = await bench.issuer.sign(as);
  const gone = new AbortController();
  const service = await bench.startOrdersWith({
    items: before(({ path }) => {
      if (path.endsWith('/confirm')) gone.abort();
      return undefined;
    }),
  });
  const lost = fetch(`${service.url}/orders`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify({ lines }),
    signal: gone.signal,
  });
  await assert.rejects(lost, { name: 'AbortError' });
  const again = await patiently(
    () => post(second, as, lines, key),
    ({ status }) => status === 201,
  );
  assert.equal(again.status, 201);
  await settle();
  assert.equal(await stockOf(itemId), 8);
  assert.deepEqual(await listOf(as), [again.body]);
});

test('a cancelled order gives its stock back at once, stays to be seen, and is cancelled once', async () => {
  const [as, itemId] = [newCaller(), await add(5)];
  const placed = await order(as, { itemId, quantity: 3 });
  const { status, body } = await cancel(as, placed.id);
  assert.equal(status, 200);
  assert.deepEqual(body, { ...placed, status: 'cancelled' });
  assert.equal(await stockOf(itemId), 5);
  for (const service of [orders, second]) {
    const again = await cancel(as, placed.id, service);
    assert.deepEqual([again.status, again.body], [200, body]);
  }
  await settle();
  assert.equal(await stockOf(itemId), 5);
  assert.deepEqual(await listOf(as), [body]);
});

test('an order that is cancelled many times at once, in two processes, gives its stock back once', async () => {
  const [as, itemId] = [newCaller(), await add(5)];
  const { id } = await order(as, { itemId, quantity: 3 });
  const answers = await Promise.all(
    [orders, second, orders, second].map((service) => cancel(as, id, service)),
  );
  for (const { status, body } of answers) assert.deepEqual([status, body.status], [200, 'cancelled']);
  await settle();
  assert.equal(await stockOf(itemId), 5);
});

test('Z13 an order is cancelled while items is away, and its stock given back later, with nobody there to act for', async () => {
  const [as, itemId] = [newCaller(), await add(5)];
  const { id } = await order(as, { itemId, quantity: 3 });
  const service = await bench.startOrdersWith({ items: (req) => void req.socket.destroy() });
  const { status, body } = await cancel(as, id, service);
  assert.deepEqual([status, body.status], [200, 'cancelled']);
  await settle();
  assert.equal(await stockOf(itemId), 5);
});

const isHold = (path: string) => path.endsWith('/reservations');
const isConfirm = (path: string) => path.endsWith('/confirm');
const hangUp = () => 'hang up' as const;
const serveAndHangUp = () => 'serve, then hang up' as const;
const neverAnswer = () => new Promise<undefined>(() => {});
// Longer than orders waits.
const dawdle = () => delay(1_700, undefined);

/** How items, or the way to it, fails for the second of two lines. */
const faults: [
  fault: string,
  isMet: (path: string) => boolean,
  fail: (itemId: string) => ReturnType<Meddle>,
][] = [
  ['hangs up on a reservation', isHold, hangUp],
  ['dies when it has reserved', isHold, serveAndHangUp],
  ['does not answer a reservation', isHold, neverAnswer],
  ['is too slow with a reservation', isHold, dawdle],
  ['hangs up on a confirmation', isConfirm, hangUp],
  ['dies when it has confirmed', isConfirm, serveAndHangUp],
  ['does not answer a confirmation', isConfirm, neverAnswer],
  ['is too slow with a confirmation', isConfirm, dawdle],
  [
    'has let the reservation lapse',
    isConfirm,
    async (itemId) => {
      await bench.db.execute(sql`update items.reservations set expires_at = now() where item_id = ${itemId}`);
      return undefined;
    },
  ],
];

for (const [fault, isMet, fail] of faults) {
  test(`an order is 503 with Retry-After, is not there, and takes no stock, when items ${fault}`, async () => {
    const [as, one, two] = [newCaller(), await add(5), await add(5)];
    const meddle = ({ path }: Request) => (isMet(path) && path.includes(two) ? fail(two) : undefined);
    const service = await bench.startOrdersWith({ items: before(meddle) });
    const lines = [one, two].map((itemId) => ({ itemId, quantity: 2 }));
    const answer = await post(service, as, lines, 'the-key');
    assertProblem(answer, 503);
    assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
    assert.deepEqual(await listOf(as), []);
    await stockComesTo(one, 5);
    await stockComesTo(two, 5);
    assert.equal((await patiently(() => post(orders, as, lines, 'the-key'))).status, 201);
    // What was reserved too late for the first order may have yet to lapse.
    await stockComesTo(one, 3);
    await stockComesTo(two, 3);
  });
}

test('an order that was given up while it was being placed is 503, and takes no stock', async () => {
  const [as, itemId] = [newCaller(), await add(5)];
  const service = await bench.startOrdersWith({
    items: before(async ({ path }) => {
      if (!isConfirm(path)) return undefined;
      await bench.db.execute(sql`update orders.orders set release_at = now() where status = 'pending'`);
      await until(async () => {
        const pending = await bench.db.select().from(table).where(sql`${table.status} = 'pending'`);
        return pending.length === 0;
      }, 'nobody gives it up');
      return undefined;
    }),
  });
  assertProblem(await post(service, as, [{ itemId, quantity: 2 }]), 503);
  await stockComesTo(itemId, 5);
  assert.deepEqual(await listOf(as), []);
});

test('an order that was given up and forgotten before anything was reserved is 503, and takes no stock', async () => {
  const [as, itemId] = [newCaller(), await add(5)];
  const store = createOrderStore(bench.db);
  const service = await bench.startOrdersWith({
    items: before(async ({ path }) => {
      if (!isHold(path)) return undefined;
      const ofCaller = eq(table.ownerId, String(as.sub));
      const [{ id } = { id: '' }] = await bench.db.select().from(table).where(ofCaller);
      // As another process does that has waited for too long.
      assert.ok(await store.abandon(id));
      await store.released(id);
      return undefined;
    }),
  });
  assertProblem(await post(service, as, [{ itemId, quantity: 2 }]), 503);
  await stockComesTo(itemId, 5);
  assert.deepEqual(await listOf(as), []);
});

test('an order whose items are gone by now is cancelled all the same', async () => {
  const [as, itemId] = [newCaller(), await add(5)];
  const { id } = await order(as, { itemId, quantity: 3 });
  await items.call('DELETE', `/items/${itemId}`, { as: seller, headers: { 'If-Match': '*' } });
  assert.equal((await cancel(as, id)).body.status, 'cancelled');
  await settle();
});

test('what nobody is there to release any more is released by whoever is, one process or another, and then forgotten', async () => {
  const [as, itemId] = [newCaller(), await add(5)];
  const store = createOrderStore(bench.db);
  const key = { ownerId: String(as.sub), idempotencyKey: 'k', fingerprint: '' };
  const id = await store.open(key, [{ itemId, quantity: 2 }]);
  assert.ok(id);
  const reserved = { as: exchangedClaims(String(as.sub)), json: { id, quantity: 2 } };
  const path = `/items/${itemId}/reservations`;
  assert.equal((await items.call('POST', path, reserved)).status, 201);
  assert.equal((await items.call('POST', `${path}/${id}/confirm`, { as: reserved.as })).status, 204);
  assert.equal(await stockOf(itemId), 3);
  await settle();
  assert.equal(await stockOf(itemId), 5);
  assert.deepEqual(await bench.db.select().from(table).where(eq(table.id, id)), []);
});

test('orders are read and listed while items and the token endpoint are away, and none is taken', async () => {
  const [as, itemId] = [newCaller(), await add(5)];
  const placed = await order(as, { itemId, quantity: 1 });
  const away: RequestHandler = (req) => void req.socket.destroy();
  const alone = await bench.startOrdersWith({ token: away, items: away });
  assert.deepEqual((await alone.call('GET', '/orders', { as })).body, { items: [placed], next: null });
  assert.deepEqual((await alone.call('GET', `/orders/${placed.id}`, { as })).body, placed);
  const answer = await post(alone, as, [{ itemId, quantity: 1 }]);
  assertProblem(answer, 503);
  assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
  assertProblem(await alone.call('GET', '/orders'), 401);
});

test('an order that got no token for items has nothing to give back, and is forgotten at once', async () => {
  const [as, itemId] = [newCaller(), await add(5)];
  const service = await bench.startOrdersWith({ token: (_req, res) => void res.status(503).end() });
  assertProblem(await post(service, as, [{ itemId, quantity: 1 }]), 503);
  assert.deepEqual(
    await bench.db
      .select()
      .from(table)
      .where(eq(table.ownerId, String(as.sub))),
    [],
  );
});

test(
  'Z10 Z11 two processes on a PostgreSQL server sell the last one once',
  realServer('postgres'),
  async (t) => {
    const { url } = await startPostgres(t);
    const realItems = await bench.start(itemsApp, { DATABASE_URL: url });
    const where = { DATABASE_URL: url, ITEMS_URL: realItems.url };
    const processes = [await bench.startOrdersWith(where), await bench.startOrdersWith(where)];
    const itemId = await add(1, realItems);
    // Everybody asks twice, as impatient people do.
    const asks = Array.from({ length: 20 }, (_, index) => {
      const [as, service] = [newCaller(), processes[index % 2] as TestedService];
      const send = () => post(service, as, [{ itemId, quantity: 1 }], 'key');
      return [patiently(send), patiently(send)];
    });
    const answers = await Promise.all(asks.flat());
    const taken = answers.filter(({ status }) => status === 201);
    const ids = new Set(taken.map(({ body }) => body.id));
    assert.equal(ids.size, 1);
    assert.ok(answers.every(({ status }) => status === 201 || status === 409));
    assert.equal(await stockOf(itemId, realItems), 0);
  },
);
