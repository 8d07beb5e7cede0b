import {
  type Caller,
  contains,
  createVersionedRows,
  type Db,
  isDuplicate,
  nextVersion,
  type PageQuery,
  secondsFromNow,
  selectPage,
} from '@gatehouse/service-kit';
import { and, eq, gt, gte, inArray, isNull, lte, or, type SQL, sql } from 'drizzle-orm';
import { items, reservations } from './schema.ts';

export type ItemQuery = PageQuery & { q?: string | undefined; ownerId?: string | undefined };
export type ItemStore = ReturnType<typeof createItemStore>;
export type NewReservation = Pick<typeof reservations.$inferInsert, 'id' | 'quantity'>;
export type ReservationStore = ReturnType<typeof createReservationStore>;

/** Items in the database, newest first. */
export function createItemStore(db: Db) {
  return {
    ...createVersionedRows(db, items),

    list({ q, ownerId, ...page }: ItemQuery) {
      const hasName = q === undefined ? undefined : contains(items.name, q);
      const isOwned = ownerId === undefined ? undefined : eq(items.ownerId, ownerId);
      return selectPage(db, items, page, and(hasName, isOwned));
    },
  };
}

/** Reservations in the database. Whoever changes stock locks the item first, so that no two wait for each other. */
export function createReservationStore(db: Db, holdSeconds = 30) {
  const hasLapsed = lte(reservations.expiresAt, sql`now()`);
  const isAlive = or(isNull(reservations.expiresAt), gt(reservations.expiresAt, sql`now()`));
  const add = (quantity: number) => ({ stock: sql`${items.stock} + ${quantity}`, ...nextVersion(items) });

  async function take(itemId: string, wanted: NewReservation, caller: Caller) {
    const hasEnough = and(eq(items.id, itemId), gte(items.stock, wanted.quantity));
    const by = { reservedBy: serviceOf(caller), subject: caller.subject };
    const expiresAt = secondsFromNow(holdSeconds);
    try {
      return await db.transaction(async (tx) => {
        const [item] = await tx.update(items).set(add(-wanted.quantity)).where(hasEnough).returning();
        if (item === undefined) return undefined;
        const row = { ...wanted, ...by, itemId, expiresAt };
        const [made] = await tx.insert(reservations).values(row).returning();
        return made && { made, item };
      });
    } catch (error) {
      if (isDuplicate(error)) return undefined;
      throw error;
    }
  }

  async function find(itemId: string, { id, quantity }: NewReservation, caller: Caller) {
    const isSame = and(isReservation(itemId, id, caller), eq(reservations.quantity, quantity), isAlive);
    const made = db.select({ made: reservations, item: items }).from(reservations);
    return (await made.innerJoin(items, eq(items.id, reservations.itemId)).where(isSame))[0];
  }

  function giveBack(which: SQL | undefined, lock?: { skipLocked: true }): Promise<boolean> {
    return db.transaction(async (tx) => {
      const itemIds = tx.select({ id: reservations.itemId }).from(reservations).where(which);
      const some = tx.select({ id: items.id }).from(items).where(inArray(items.id, itemIds)).limit(1);
      const [item] = await some.for('no key update', lock);
      if (item === undefined) return false;
      const ofItem = and(eq(reservations.itemId, item.id), which);
      const gone = await tx.delete(reservations).where(ofItem).returning();
      const quantity = gone.reduce((sum, reservation) => sum + reservation.quantity, 0);
      if (quantity > 0) await tx.update(items).set(add(quantity)).where(eq(items.id, item.id));
      return quantity > 0;
    });
  }

  return {
    /** Takes from the stock, once for each id; undefined when there is not enough, or the id is another reservation's. */
    async hold(itemId: string, wanted: NewReservation, caller: Caller) {
      const held = (await take(itemId, wanted, caller)) ?? (await find(itemId, wanted, caller));
      if (held) return held;
      const isMore = await giveBack(and(eq(reservations.itemId, itemId), hasLapsed));
      return isMore ? take(itemId, wanted, caller) : undefined;
    },

    /** Whether it lapses no more; false when it has lapsed. */
    async confirm(itemId: string, id: string, caller: Caller) {
      const which = and(isReservation(itemId, id, caller), isAlive);
      const confirmed = await db.update(reservations).set({ expiresAt: null }).where(which).returning();
      return confirmed.length > 0;
    },

    /** Whether it is gone now, and the item has its stock back; false when it was gone before. */
    release: (itemId: string, id: string, caller: Caller) => giveBack(isReservation(itemId, id, caller)),

    /** Gives back what has lapsed, of up to 100 items that nobody else is at. */
    async lapse() {
      for (let count = 0; count < 100 && (await giveBack(hasLapsed, { skipLocked: true })); count++);
    },
  };
}

const serviceOf = ({ actor, clientId }: Caller) => actor ?? clientId;

// A service that acts for somebody has no business with the reservations of others.
function isReservation(itemId: string, id: string, caller: Caller) {
  return and(
    eq(reservations.itemId, itemId),
    eq(reservations.id, id),
    eq(reservations.reservedBy, serviceOf(caller)),
    caller.kind === 'user' ? eq(reservations.subject, caller.subject) : undefined,
  );
}
