import { demoItems, demoOrders } from '@gatehouse/demo-data';
import type { Db } from '@gatehouse/service-kit';
import { items, reservations } from './schema.ts';

/** Adds the demo items that are not there, with what is reserved of them; what was changed since stays as it is. */
export async function seed(db: Db): Promise<void> {
  await db.transaction(async (tx) => {
    const rows = Object.values(demoItems);
    const added = await tx.insert(items).values(rows).onConflictDoNothing().returning({ id: items.id });
    const ofAdded = demoOrders
      .filter(({ line }) => added.some(({ id }) => id === line.itemId))
      .map(({ id, ownerId, line: { itemId, quantity } }) => {
        return { id, itemId, quantity, subject: ownerId, reservedBy: 'orders-service' };
      });
    if (ofAdded.length > 0) await tx.insert(reservations).values(ofAdded);
  });
}
