import { demoAccounts } from '@gatehouse/demo-accounts';
import type { Db } from '@gatehouse/service-kit';
import { items, reservations } from './schema.ts';

const { alice, bob, johndoe } = demoAccounts;

const demoItems = [
  demoItem(1, alice.id, 'Lantern', 'Brass, burns paraffin; the glass is new.', 4_900, 12),
  demoItem(2, alice.id, 'Iron door knocker', 'A lion with a ring, from the old east gate.', 8_250, 3),
  demoItem(3, alice.id, 'Oak chest', 'Two handles, one lock, no key.', 24_900, 1),
  demoItem(4, bob.id, 'Padlock', 'Comes with three keys.', 1_999, 140),
  demoItem(5, bob.id, 'Key ring', '', 350, 1_000),
  demoItem(6, bob.id, 'Bell with rope', 'Heard from the far end of the yard.', 6_400, 0),
  demoItem(7, johndoe.id, 'Foo', 'The first of two.', 100, 10),
  demoItem(8, johndoe.id, 'Bar', 'The second of two.', 200, 20),
];

// Of the demo orders, whose ids these are.
const demoReservations = [
  demoReservation(1, alice.id, 4, 2),
  demoReservation(2, alice.id, 4, 1),
  demoReservation(3, bob.id, 1, 1),
  demoReservation(4, bob.id, 1, 4),
];

/** Adds the demo items that are not there, with what is reserved of them; what was changed since stays as it is. */
export async function seed(db: Db): Promise<void> {
  await db.transaction(async (tx) => {
    const added = await tx.insert(items).values(demoItems).onConflictDoNothing().returning({ id: items.id });
    const ofAdded = demoReservations.filter(({ itemId }) => added.some(({ id }) => id === itemId));
    if (ofAdded.length > 0) await tx.insert(reservations).values(ofAdded);
  });
}

function demoReservation(order: number, subject: string, item: number, quantity: number) {
  const [id, itemId] = [`04de4000-0000-4000-8000-00000000000${order}`, demoItemId(item)];
  return { id, itemId, quantity, subject, reservedBy: 'orders-service', expiresAt: null };
}

function demoItemId(number: number): string {
  return `17e50000-0000-4000-8000-00000000000${number}`;
}

function demoItem(
  number: number,
  ownerId: string,
  name: string,
  description: string,
  priceCents: number,
  stock: number,
): typeof items.$inferInsert {
  const createdAt = new Date(Date.UTC(2026, 0, number, 9));
  return {
    id: demoItemId(number),
    ownerId,
    name,
    description,
    priceCents,
    stock,
    createdAt,
    updatedAt: createdAt,
  };
}
