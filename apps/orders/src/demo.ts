import { demoOrders } from '@gatehouse/demo-data';
import type { Db } from '@gatehouse/service-kit';
import { orderLines, orders } from './schema.ts';

/** Adds the demo orders that are not there; what was changed since stays as it is. */
export async function seed(db: Db): Promise<void> {
  for (const { line, ...order } of demoOrders) {
    const totalCents = line.quantity * line.unitPriceCents;
    const row = { ...order, status: 'confirmed' as const, totalCents, currency: 'EUR' };
    await db.insert(orders).values(row).onConflictDoNothing();
    await db
      .insert(orderLines)
      .values({ ...line, orderId: order.id, position: 0 })
      .onConflictDoNothing();
  }
}
