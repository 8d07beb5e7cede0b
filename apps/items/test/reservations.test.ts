import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, suite, type TestContext, test } from 'node:test';
import {
  type Caller,
  createLogger,
  type Db,
  isDatabaseUnavailable,
  openDatabase,
  settleAll,
} from '@gatehouse/service-kit';
import { assertProblem, createTestBench } from '@gatehouse/service-kit/testing';
import { realServer, startPostgres } from '@gatehouse/test-kit';
import { isNotNull, sql } from 'drizzle-orm';
import { items } from '../src/app.ts';
import { items as itemTable, reservations as table } from '../src/schema.ts';
import { createItemStore, createReservationStore } from '../src/store.ts';

const bench = await createTestBench();
after(bench.close);
const service = await bench.start(items);

const seller = { sub: randomUUID(), scope: 'items:read items:write' };
const claims = { aud: items.audience, scope: 'items:reserve', client_id: 'orders-service' };
/** A service that acts for somebody. */
const actingFor = (sub = randomUUID(), actor = 'orders-service') => ({
  ...claims,
  sub,
  client_id: actor,
  act: { sub: actor },
});
/** A service in its own name. */
const inOwnName = (name = 'orders-service') => ({ ...claims, sub: name, client_id: name, gid: undefined });

const add = async (stock = 5): Promise<string> => {
  const json = { name: 'Lamp', priceCents: 1250, stock };
  return (await service.call('POST', '/items', { as: seller, json })).body.id;
};
const read = async (itemId: string) => {
  const { body, headers } = await service.call('GET', `/items/${itemId}`, { as: seller });
  return { stock: body.stock, etag: headers.get('etag') };
};
const stockOf = async (itemId: string) => (await read(itemId)).stock;
const hold = (itemId: string, as: object, quantity = 1, id: string = randomUUID()) =>
  service.call('POST', `/items/${itemId}/reservations`, { as: { ...as }, json: { id, quantity } });
const confirm = (itemId: string, as: object, id: string) =>
  service.call('POST', `/items/${itemId}/reservations/${id}/confirm`, { as: { ...as } });
const release = (itemId: string, as: object, id: string) =>
  service.call('DELETE', `/items/${itemId}/reservations/${id}`, { as: { ...as } });
const held = async (itemId: string, as: object, quantity = 1): Promise<string> => {
  const { status, body } = await hold(itemId, as, quantity);
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
};

/** What 30 s would do. */
const letLapse = (id: string) =>
  bench.db
    .update(table)
    .set({ expiresAt: sql`now() - interval '1 ms'` })
    .where(sql`${table.id} = ${id} and ${table.expiresAt} is not null`);

test('a reservation takes from the stock, and answers 201 with what the item costs', async () => {
  const itemId = await add(5);
  const before = await read(itemId);
  const id = randomUUID();
  const { status, headers, body } = await hold(itemId, actingFor(), 2, id);
  assert.equal(status, 201, JSON.stringify(body));
  assert.equal(headers.get('location'), `/items/${itemId}/reservations/${id}`);
  const { expiresAt, ...rest } = body;
  assert.deepEqual(rest, { id, itemId, name: 'Lamp', quantity: 2, unitPriceCents: 1250, currency: 'EUR' });
  assert.ok(Math.abs(Date.parse(expiresAt) - Date.now() - 30_000) < 20_000, expiresAt);
  const taken = await read(itemId);
  assert.equal(taken.stock, 3);
  assert.notEqual(taken.etag, before.etag);
});

test('the same reservation again is the same one, and takes nothing more', async () => {
  const [itemId, as, id] = [await add(5), actingFor(), randomUUID()];
  const first = await hold(itemId, as, 2, id);
  const second = await hold(itemId, as, 2, id);
  assert.equal(second.status, 201);
  assert.deepEqual(second.body, first.body);
  const many = await Promise.all(Array.from({ length: 5 }, () => hold(itemId, as, 2, id)));
  assert.deepEqual(
    many.map(({ status }) => status),
    [201, 201, 201, 201, 201],
  );
  assert.equal(await stockOf(itemId), 3);
  for (const [other, quantity] of [
    [as, 1],
    [actingFor(), 2],
    [actingFor(as.sub, 'users-service'), 2],
  ] as const) {
    assertProblem(await hold(itemId, other, quantity, id), 409);
  }
  assert.equal(await stockOf(itemId), 3);
});

test('one order reserves several items under its own id', async () => {
  const [one, two, as, id] = [await add(1), await add(1), actingFor(), randomUUID()];
  for (const itemId of [one, two]) assert.equal((await hold(itemId, as, 1, id)).status, 201);
});

test('more than there is in stock is 409, what is no item is 404, and nothing is taken', async () => {
  const itemId = await add(2);
  assertProblem(await hold(itemId, actingFor(), 3), 409);
  assert.equal(await stockOf(itemId), 2);
  assertProblem(await hold(randomUUID(), actingFor(), 1), 404);
  await held(itemId, actingFor(), 2);
  assertProblem(await hold(itemId, actingFor(), 1), 409);
});

test('what nobody confirms lapses, goes back to the stock by itself, and cannot be confirmed any more', async () => {
  const [itemId, as] = [await add(5), actingFor()];
  const before = await read(itemId);
  const [kept, lapsing] = [await held(itemId, as, 1), await held(itemId, as, 3)];
  assert.equal((await confirm(itemId, as, kept)).status, 204);
  for (const id of [kept, lapsing]) await letLapse(id);
  assertProblem(await confirm(itemId, as, lapsing), 404);
  for (let tries = 0; (await stockOf(itemId)) !== 4; tries++) assert.ok(tries < 5_000, 'nothing lapses');
  assert.notEqual((await read(itemId)).etag, before.etag);
  assertProblem(await release(itemId, as, lapsing), 404);
  assert.equal((await confirm(itemId, as, kept)).status, 204);
  assert.equal(await stockOf(itemId), 4);
});

test('Z13 only the service that reserved gives back, for the same subject or in its own name', async () => {
  const [itemId, as] = [await add(5), actingFor()];
  const [one, two] = [await held(itemId, as, 2), await held(itemId, as, 1)];
  await confirm(itemId, as, two);
  for (const other of [actingFor(), actingFor(as.sub, 'users-service'), inOwnName('users-service')]) {
    for (const id of [one, two]) assertProblem(await release(itemId, other, id), 404);
    if ('act' in other) assertProblem(await confirm(itemId, other, one), 404);
  }
  assert.equal(await stockOf(itemId), 2);
  assertProblem(await confirm(itemId, inOwnName(), one), 403);
  assertProblem(await hold(itemId, inOwnName()), 403);

  assert.equal((await release(itemId, as, one)).status, 204);
  assert.equal(await stockOf(itemId), 4);
  assert.equal((await release(itemId, inOwnName(), two)).status, 204);
  assert.equal(await stockOf(itemId), 5);
  for (const id of [one, two]) assertProblem(await release(itemId, as, id), 404);
  assert.equal(await stockOf(itemId), 5);
});

test('an item takes its reservations with it', async () => {
  const [itemId, as] = [await add(), actingFor()];
  const id = await held(itemId, as);
  const headers = { 'If-Match': '*' };
  assert.equal((await service.call('DELETE', `/items/${itemId}`, { as: seller, headers })).status, 204);
  assertProblem(await confirm(itemId, as, id), 404);
  assertProblem(await release(itemId, as, id), 404);
});

test('Z17 an owner who read before a reservation changes nothing after it', async () => {
  const itemId = await add(5);
  const { etag } = await read(itemId);
  await held(itemId, actingFor(), 2);
  const headers = { 'If-Match': etag ?? '' };
  const answer = await service.call('PATCH', `/items/${itemId}`, { as: seller, headers, json: { stock: 5 } });
  assertProblem(answer, 412);
  assert.equal(await stockOf(itemId), 3);
});

test('DEMO=true reserves what the demo orders have, once for all starts', async () => {
  const reserved = () => bench.db.select().from(table).where(sql`${table.id}::text like '04de4000%'`);
  await items.seed(bench.db);
  const [first, ...others] = await reserved();
  assert.equal(others.length, 3);
  assert.ok(first);
  assert.equal((await release(first.itemId, inOwnName(), first.id)).status, 204);
  await items.seed(bench.db);
  assert.equal((await reserved()).length, 3);
});

suite('several processes on a PostgreSQL server', realServer('postgres'), () => {
  const callerOf = (subject: string) => ({ clientId: 'orders-service', kind: 'user', subject }) as Caller;

  async function openProcesses(t: TestContext, count: number) {
    const { url } = await startPostgres(t);
    const { migrations } = items;
    const logger = createLogger({ level: 'silent' });
    const databases = [];
    for (let index = 0; index < count; index++) {
      const database = await openDatabase({ url }, { name: 'items', migrations, logger });
      t.after(database.close);
      databases.push(database.db);
    }
    return databases;
  }

  test('Z10 of fifty at once that want the last one, one gets it', async (t) => {
    const processes = await openProcesses(t, 2);
    const stores = processes.map((db) => createReservationStore(db));
    const [db] = processes;
    assert.ok(db);
    const lastOne = { name: 'Last', description: '', priceCents: 1, stock: 1 };
    const { id: itemId } = await createItemStore(db).create({ ...lastOne, ownerId: 'seller' });
    const holds = Array.from({ length: 50 }, (_, index) =>
      stores[index % 2]?.hold(itemId, { id: randomUUID(), quantity: 1 }, callerOf(randomUUID())),
    );
    // On a busy machine some may wait too long, which is a 503 to whoever asks.
    const outcomes = await Promise.allSettled(holds);
    const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    assert.ok(failures.every(isDatabaseUnavailable), String(failures));
    const held = outcomes.filter((outcome) => outcome.status === 'fulfilled' && outcome.value !== undefined);
    assert.equal(held.length, 1);
    assert.equal((await createItemStore(db).find(itemId))?.stock, 0);
  });

  test('what is held, confirmed, given back and lapses at once, of items that change and go, adds up', async (t) => {
    const processes = await openProcesses(t, 3);
    const [db] = processes;
    assert.ok(db);
    const store = createItemStore(db);
    const initial = 20;
    const ids: string[] = [];
    for (let index = 0; index < 4; index++) {
      const item = { name: `${index}`, description: '', priceCents: 1, stock: initial };
      ids.push((await store.create({ ...item, ownerId: 'seller' })).id);
    }
    const doomed = await store.create({
      ownerId: 'seller',
      name: '',
      description: '',
      priceCents: 1,
      stock: 500,
    });
    const any = <Value>(values: readonly Value[]) =>
      values[Math.floor(Math.random() * values.length)] as Value;

    // Held for no time: whether it is confirmed before it lapses is a matter of luck.
    async function work(process: Db) {
      const reservations = createReservationStore(process, any([0, 0.005, 0.05]));
      const [itemId, quantity, id, caller] = [
        any([...ids, doomed.id]),
        any([1, 2, 3]),
        randomUUID(),
        callerOf('x'),
      ];
      await reservations.hold(itemId, { id, quantity }, caller);
      // When one of them fails, the others must not go on behind what adds up.
      await settleAll<unknown>([
        reservations.confirm(itemId, id, caller),
        ...(any([true, false]) ? [reservations.release(itemId, id, caller)] : []),
        ...(any([true, false]) ? [reservations.hold(itemId, { id, quantity }, caller)] : []),
        reservations.lapse(),
      ]);
      if (any([true, false])) await reservations.release(itemId, id, caller);
    }
    const workers = Array.from({ length: 24 }, async (_, index) => {
      for (let round = 0; round < 12; round++) {
        // On a busy machine the database may be too slow for one, which changes nothing in what must add up.
        await work(processes[index % 3] as Db).catch((error) => {
          if (!isDatabaseUnavailable(error)) throw error;
        });
        if (index === 0 && round === 6) await store.remove(doomed.id, 'any');
      }
    });
    await Promise.all(workers);

    // A second ago: the column rounds to milliseconds, so that what is now may still be to come.
    const past = sql`now() - interval '1 second'`;
    await db.update(table).set({ expiresAt: past }).where(isNotNull(table.expiresAt));
    await createReservationStore(db).lapse();
    const rows = await db.select().from(table);
    assert.ok(rows.every(({ expiresAt }) => expiresAt === null));
    for (const { id, stock } of await db.select().from(itemTable)) {
      const confirmed = rows.filter(({ itemId }) => itemId === id);
      const reserved = confirmed.reduce((sum, { quantity }) => sum + quantity, 0);
      assert.ok(stock >= 0);
      assert.equal(stock + reserved, initial, `${confirmed.length} reservations`);
    }
    assert.ok(rows.every(({ itemId }) => ids.includes(itemId)));
  });
});
