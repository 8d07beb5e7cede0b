import { demoAccounts } from './accounts.ts';
import { type DemoItem, demoItems } from './items.ts';

/** An order of the demo data, of one line. */
export interface DemoOrder {
  id: string;
  ownerId: string;
  createdAt: Date;
  line: { itemId: string; name: string; unitPriceCents: number; quantity: number };
}

const { alice, bob } = demoAccounts;
const { lantern, padlock } = demoItems;

/** The orders that apps/orders seeds when DEMO=true, while apps/items seeds what they have reserved. */
export const demoOrders: readonly DemoOrder[] = [
  order(1, alice.id, padlock, 2),
  order(2, alice.id, padlock, 1),
  order(3, bob.id, lantern, 1),
  order(4, bob.id, lantern, 4),
];

function order(number: number, ownerId: string, item: DemoItem, quantity: number): DemoOrder {
  const id = `04de4000-0000-4000-8000-00000000000${number}`;
  const createdAt = new Date(Date.UTC(2026, 1, number, 12));
  const line = { itemId: item.id, name: item.name, unitPriceCents: item.priceCents, quantity };
  return { id, ownerId, createdAt, line };
}
