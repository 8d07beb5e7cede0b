import { type Db, olderThan, type PageQuery, toPage } from '@gatehouse/service-kit';
import { and, asc, desc, eq, inArray, type SQL } from 'drizzle-orm';
import { orderLines, orders } from './schema.ts';

export type OrderLine = Omit<typeof orderLines.$inferSelect, 'orderId' | 'position'>;
export type OrderStore = ReturnType<typeof createOrderStore>;

/** Orders in the database, newest first; every look-up names the owner, so nobody else's order is ever found. */
export function createOrderStore(db: Db) {
  async function select(where: SQL | undefined, limit: number) {
    const newestFirst = [desc(orders.createdAt), desc(orders.id)];
    const rows = await db
      .select()
      .from(orders)
      .where(where)
      .orderBy(...newestFirst)
      .limit(limit);
    const ofThese = inArray(
      orderLines.orderId,
      rows.map((row) => row.id),
    );
    const lines = await db.select().from(orderLines).where(ofThese).orderBy(asc(orderLines.position));
    const linesByOrder = Map.groupBy(lines, (line) => line.orderId);
    return rows.map((row) => ({ ...row, lines: linesByOrder.get(row.id) ?? [] }));
  }

  return {
    async list(ownerId: string, { limit, cursor }: PageQuery) {
      const found = await select(and(eq(orders.ownerId, ownerId), olderThan(orders, cursor)), limit + 1);
      return toPage(found, limit);
    },

    async find(ownerId: string, id: string) {
      const [order] = await select(and(eq(orders.ownerId, ownerId), eq(orders.id, id)), 1);
      return order;
    },

    /** The order is there with all its lines, or not at all. */
    create(ownerId: string, lines: readonly OrderLine[]) {
      const totalCents = lines.reduce((sum, line) => sum + line.quantity * line.unitPriceCents, 0);
      const order = { ownerId, status: 'pending' as const, totalCents, currency: 'EUR' };
      return db.transaction(async (tx) => {
        const [created] = await tx.insert(orders).values(order).returning();
        if (created === undefined) throw new Error('the insert returned no row');
        const rows = lines.map((line, position) => ({ ...line, orderId: created.id, position }));
        await tx.insert(orderLines).values(rows);
        return { ...created, lines: [...lines] };
      });
    },
  };
}
