import { type Db, type PageQuery, secondsFromNow, selectPage } from '@gatehouse/service-kit';
import { and, asc, eq, inArray, lte, ne, type SQL, sql } from 'drizzle-orm';
import type { PgUpdateSetSource } from 'drizzle-orm/pg-core';
import { orderLines, orders } from './schema.ts';

export type OrderLine = Omit<typeof orderLines.$inferSelect, 'orderId' | 'position'>;
export type NewLine = Pick<OrderLine, 'itemId' | 'quantity'>;
export type OrderStore = ReturnType<typeof createOrderStore>;

/** Orders in the database, newest first. Whoever looks one up names its owner, so nobody else's order is ever found. */
export function createOrderStore(db: Db) {
  const isVisible = inArray(orders.status, ['confirmed', 'cancelled']);

  async function withLines<Order extends { id: string }>(found: readonly Order[]) {
    const ids = found.map(({ id }) => id);
    const ofThese = db.select().from(orderLines).where(inArray(orderLines.orderId, ids));
    const linesByOrder = Map.groupBy(await ofThese.orderBy(asc(orderLines.position)), (line) => line.orderId);
    return found.map((order) => ({ ...order, lines: linesByOrder.get(order.id) ?? [] }));
  }

  async function findOne(...conditions: SQL[]) {
    const found = db
      .select()
      .from(orders)
      .where(and(...conditions));
    return (await withLines(await found))[0];
  }

  // Of several that would change an order from the status that it has, one does.
  async function change(tx: Db, id: string, from: SQL, to: PgUpdateSetSource<typeof orders>) {
    const [changed] = await tx
      .update(orders)
      .set(to)
      .where(and(eq(orders.id, id), from))
      .returning();
    return changed;
  }

  return {
    async list(ownerId: string, page: PageQuery) {
      const { items, next } = await selectPage(db, orders, page, and(eq(orders.ownerId, ownerId), isVisible));
      return { items: await withLines(items), next };
    },

    find: (ownerId: string, id: string) => findOne(eq(orders.ownerId, ownerId), isVisible, eq(orders.id, id)),

    /** The order that has this key, even while it is pending. */
    findByKey(ownerId: string, key: string) {
      const isKept = ne(orders.status, 'abandoned');
      return findOne(eq(orders.ownerId, ownerId), isKept, eq(orders.idempotencyKey, key));
    },

    /** The id of a pending order, which is there with all its lines; undefined when another order has the key. */
    open(
      order: { ownerId: string; idempotencyKey: string | undefined; fingerprint: string },
      lines: readonly NewLine[],
    ) {
      const pending = {
        ...order,
        status: 'pending' as const,
        currency: 'EUR',
        releaseAt: secondsFromNow(pendingSeconds),
      };
      return db.transaction(async (tx) => {
        const [opened] = await tx.insert(orders).values(pending).onConflictDoNothing().returning();
        if (opened) await tx.insert(orderLines).values(numbered(opened.id, lines));
        return opened?.id;
      });
    },

    /** The order, which is one from this moment on; undefined when it is pending no more. */
    confirm(id: string, lines: readonly OrderLine[]) {
      const totalCents = lines.reduce((sum, line) => sum + line.quantity * line.unitPriceCents, 0);
      return db.transaction(async (tx) => {
        const order = await change(tx, id, isPending, { status: 'confirmed', releaseAt: null, totalCents });
        if (order === undefined) return undefined;
        const target = [orderLines.orderId, orderLines.position];
        const set = { name: sql`excluded.name`, unitPriceCents: sql`excluded.unit_price_cents` };
        await tx.insert(orderLines).values(numbered(id, lines)).onConflictDoUpdate({ target, set });
        return { ...order, lines: [...lines] };
      });
    },

    /** Whether the order will never be confirmed: it is given up now, or was before. */
    async abandon(id: string) {
      await change(db, id, isPending, { status: 'abandoned', releaseAt: secondsFromNow(0) });
      return (await findOne(isVisible, eq(orders.id, id))) === undefined;
    },

    /** Whether this has cancelled the order. */
    async cancel(ownerId: string, id: string) {
      const isConfirmed = sql`${eq(orders.ownerId, ownerId)} and ${eq(orders.status, 'confirmed')}`;
      const cancelled = await change(db, id, isConfirmed, {
        status: 'cancelled',
        releaseAt: secondsFromNow(0),
      });
      return cancelled !== undefined;
    },

    /** Some orders that are due to be released, for one process alone: they are due again in 5 s, if they still are. */
    async takeDue() {
      const due = db.select({ id: orders.id }).from(orders).where(lte(orders.releaseAt, sql`now()`));
      const some = due.orderBy(asc(orders.releaseAt)).limit(20).for('update', { skipLocked: true });
      const status = sql`case ${orders.status} when 'pending' then 'abandoned' else ${orders.status} end`;
      const taken = db.update(orders).set({ status, releaseAt: secondsFromNow(5) });
      const isTaken = sql`${orders.id} = any(array(${some}))`;
      return withLines(await taken.where(isTaken).returning({ id: orders.id }));
    },

    /** The order has nothing reserved any more; one that nobody ever saw is gone. */
    async released(id: string) {
      await db.delete(orders).where(and(eq(orders.id, id), eq(orders.status, 'abandoned')));
      await change(db, id, eq(orders.status, 'cancelled'), { releaseAt: null });
    },
  };
}

// Longer than any request takes.
const pendingSeconds = 10;
const isPending = eq(orders.status, 'pending');

const numbered = <Line>(orderId: string, lines: readonly Line[]) =>
  lines.map((line, position) => ({ ...line, orderId, position }));
