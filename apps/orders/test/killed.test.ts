import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createLogger, type Db, openDatabase } from '@gatehouse/service-kit';
import { freePort, nodeSettings, realServer, startPostgres } from '@gatehouse/test-kit';
import { type SQL, sql } from 'drizzle-orm';
import { orders as service } from '../src/app.ts';
import { startOrders } from './start-orders.ts';

const any = <Value>(...values: Value[]) => values[Math.floor(Math.random() * values.length)] as Value;

/** A service on a port of its own that can be killed and comes back there. */
async function startProcess(t: TestContext, name: string, env: Record<string, string>) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const file = fileURLToPath(new URL('./service-process.ts', import.meta.url));
  let child: ChildProcess | undefined;
  const isUp = async () => {
    const signal = AbortSignal.timeout(2_000);
    return (await fetch(`${url}/health/ready`, { signal }).catch(() => undefined))?.ok;
  };
  const start = async () => {
    child = spawn(process.execPath, [file, name], {
      env: { ...nodeSettings, ...env, PORT: String(port), LOG_LEVEL: 'silent' },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    for (let tries = 0; !(await isUp()); tries++) {
      assert.ok(tries < 600 && child.exitCode === null, `${name} does not start`);
      await delay(50);
    }
  };
  const kill = async () => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  };
  t.after(kill);
  await start();
  return { url, start, kill };
}

test(
  'R36 however often orders and items are killed, each order is reserved as a whole or not at all, and the books add up',
  realServer('postgres'),
  async (t) => {
    const bench = await startOrders();
    t.after(bench.close);
    const { issuer, tokens } = bench;
    const { url: DATABASE_URL } = await startPostgres(t);
    const common = { ISSUER: issuer.issuer, JWKS_URI: issuer.jwksUri, DATABASE_URL };
    const items = await startProcess(t, 'items', common);
    const ofOrders = { ...common, ...tokens, ITEMS_URL: items.url };
    const processes = [
      await startProcess(t, 'orders', ofOrders),
      await startProcess(t, 'orders', ofOrders),
      items,
    ] as const;
    const logger = createLogger({ level: 'silent' });
    const source = { name: 'orders', migrations: service.migrations, logger };
    const database = await openDatabase({ url: DATABASE_URL }, source);
    t.after(database.close);
    const { db } = database;

    const call = async (url: string, as: Record<string, unknown>, json?: unknown, key = 'some-key') => {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await issuer.sign(as)}`,
          'idempotency-key': key,
          ...(json !== undefined && { 'content-type': 'application/json' }),
        },
        body: json === undefined ? null : JSON.stringify(json),
        signal: AbortSignal.timeout(3_000),
      });
      const { status, headers } = response;
      return {
        status,
        isForLater: headers.has('retry-after'),
        body: (await response.json()) as { id: string },
      };
    };

    const stock: Record<string, number> = {};
    for (const initial of [100_000, 100_000, 100_000, 40]) {
      const json = { name: 'Lamp', priceCents: 1, stock: initial };
      const { body } = await call(`${items.url}/items`, { sub: 'seller', scope: 'items:write' }, json);
      stock[body.id] = initial;
    }
    const itemIds = Object.keys(stock);

    let isOver = false;
    let answers = 0;
    const known = new Map<string, 'confirmed' | 'cancelled'>();

    /** Asks until there is an answer, like somebody who means it. */
    async function insist(path: string, as: Record<string, unknown>, json?: unknown) {
      const key = randomUUID();
      for (let tries = 0; tries < 1_000; tries++) {
        const { url } = any(processes[0], processes[1]);
        const answer = await call(url + path, as, json, key).catch(() => undefined);
        if (answer && !answer.isForLater) {
          answers += 1;
          return answer;
        }
        await delay(50);
      }
      throw new Error(`${path} is never answered`);
    }

    const customers = Array.from({ length: 4 }, async () => {
      const as = { sub: randomUUID(), scope: 'orders:write' };
      for (; !isOver; await delay(20)) {
        const wanted = new Set([any(...itemIds), any(...itemIds), any(...itemIds)]);
        const lines = [...wanted].map((itemId) => ({ itemId, quantity: any(1, 2) }));
        const { status, body } = await insist('/orders', as, { lines });
        assert.ok(status === 201 || status === 409, `${status} ${JSON.stringify(body)}`);
        if (status === 409) continue;
        assert.ok(!known.has(body.id));
        const isCancelled = any(true, false, false);
        if (isCancelled) assert.equal((await insist(`/orders/${body.id}/cancel`, as)).status, 200);
        known.set(body.id, isCancelled ? 'cancelled' : 'confirmed');
      }
    });

    async function killAtRandom(times: number) {
      for (let kills = 0; kills < times && !isOver; ) {
        // However slow the machine is: they are at work again.
        for (const before = answers; answers === before && !isOver; ) await delay(20);
        await delay(Math.random() * 500);
        const victims = processes.filter(() => any(true, false));
        await Promise.all(victims.map(({ kill }) => kill()));
        await Promise.all(victims.map(({ start }) => start()));
        kills += victims.length;
      }
    }
    // Ten and thirty seconds are long in a test.
    const hasten = (age: number) =>
      Promise.all([
        db.execute(sql`update orders.orders set release_at = now()
        where release_at > now() and created_at < now() - ${age} * interval '1 second'`),
        db.execute(sql`update items.reservations set expires_at = now()
        where expires_at > now() and expires_at < now() + (30 - ${age}) * interval '1 second'`),
      ]);
    const hurrying = (async () => {
      // One that the database is too busy for is made good by the next.
      for (; !isOver; await delay(100)) await hasten(1).catch(() => {});
    })();

    const killing = killAtRandom(50);
    try {
      await Promise.race([killing, Promise.all(customers)]);
    } finally {
      isOver = true;
      await Promise.allSettled([killing, ...customers, hurrying]);
    }
    await Promise.all([killing, ...customers, hurrying]);
    for (let tries = 0; ; tries++) {
      await hasten(0);
      const open = await rowsOf(
        db,
        sql`
      select id from orders.orders where release_at is not null
      union all select id from items.reservations where expires_at is not null`,
      );
      if (open.length === 0) break;
      assert.ok(tries < 300, `${open.length} are never released`);
      await delay(100);
    }

    assert.ok(known.size > 50, String(known.size));
    const found = await rowsOf(db, sql`select id, status from orders.orders order by id`);
    const expected = [...known]
      .map(([id, status]) => ({ id, status }))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    assert.deepEqual(found, expected);
    const ordered = await rowsOf(
      db,
      sql`
    select item_id, order_id as id, quantity from orders.order_lines
    join orders.orders on orders.id = order_id where status = 'confirmed' order by 1, 2`,
    );
    const reserved = await rowsOf(
      db,
      sql`select item_id, id, quantity from items.reservations order by 1, 2`,
    );
    assert.deepEqual(reserved, ordered);
    for (const { id, stock: left } of await rowsOf(db, sql`select id, stock from items.items`)) {
      const sold = ordered.filter(({ item_id }) => item_id === id);
      const quantity = sold.reduce((sum, line) => sum + Number(line.quantity), 0);
      assert.equal(Number(left) + quantity, stock[String(id)]);
      assert.ok(Number(left) >= 0);
    }
    t.diagnostic(`${found.length} orders`);
  },
);

async function rowsOf(db: Db, statement: SQL) {
  return ((await db.execute(statement)) as unknown as { rows: Record<string, unknown>[] }).rows;
}
