import { demoAccounts } from './accounts.ts';

/** An item of the demo data. */
export interface DemoItem {
  id: string;
  ownerId: string;
  name: string;
  description: string;
  priceCents: number;
  stock: number;
  createdAt: Date;
  updatedAt: Date;
}

const { alice, bob, johndoe } = demoAccounts;

/** The items that apps/items seeds when DEMO=true; of some, the demo orders have taken their part already. */
export const demoItems = {
  lantern: item(1, alice.id, 'Lantern', 'Brass, burns paraffin; the glass is new.', 4_900, 12),
  knocker: item(2, alice.id, 'Iron door knocker', 'A lion with a ring, from the old east gate.', 8_250, 3),
  chest: item(3, alice.id, 'Oak chest', 'Two handles, one lock, no key.', 24_900, 1),
  padlock: item(4, bob.id, 'Padlock', 'Comes with three keys.', 1_999, 140),
  keyRing: item(5, bob.id, 'Key ring', '', 350, 1_000),
  bell: item(6, bob.id, 'Bell with rope', 'Heard from the far end of the yard.', 6_400, 0),
  foo: item(7, johndoe.id, 'Foo', 'The first of two.', 100, 10),
  bar: item(8, johndoe.id, 'Bar', 'The second of two.', 200, 20),
} as const satisfies Record<string, DemoItem>;

function item(
  number: number,
  ownerId: string,
  name: string,
  description: string,
  priceCents: number,
  stock: number,
): DemoItem {
  const id = `17e50000-0000-4000-8000-00000000000${number}`;
  const createdAt = new Date(Date.UTC(2026, 0, number, 9));
  return { id, ownerId, name, description, priceCents, stock, createdAt, updatedAt: createdAt };
}
