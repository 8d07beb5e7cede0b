import { demoAccounts } from '@gatehouse/demo-accounts';
import type { Db } from '@gatehouse/service-kit';
import { orderLines, orders } from './schema.ts';

const { alice, bob } = demoAccounts;

// Ids, names and prices as the demo data of items has them.
const lantern = { itemId: '17e50000-0000-4000-8000-000000000001', name: 'Lantern', unitPriceCents: 4_900 };
const padlock = { itemId: '17e50000-0000-4000-8000-000000000004', name: 'Padlock', unitPriceCents: 1_999 };

/** Adds the demo orders that are not there; what was changed since stays as it is. */
export async function seed(db: Db): Promise<void> {
  await addOrder(db, 1, alice.id, { ...padlock, quantity: 2 });
  await addOrder(db, 2, alice.id, { ...padlock, quantity: 1 });
  await addOrder(db, 3, bob.id, { ...lantern, quantity: 1 });
  await addOrder(db, 4, bob.id, { ...lantern, quantity: 4 });
}

type Line = typeof padlock & { quantity: number };

async function addOrder(db: Db, number: number, ownerId: string, line: Line): Promise<void> {
  const id = `04de4000-0000-4000-8000-00000000000${number}`;
  const createdAt = new Date(Date.UTC(2026, 1, number, 12));
  const totalCents = line.quantity * line.unitPriceCents;
  const order = { id, ownerId, status: 'confirmed' as const, totalCents, currency: 'EUR', createdAt };
  await db.insert(orders).values(order).onConflictDoNothing();
  const row = { ...line, orderId: id, position: 0 };
  await db.insert(orderLines).values(row).onConflictDoNothing();
}
