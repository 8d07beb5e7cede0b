import { fingerprintOf, Problem, requireRepeated, settleAll, upstreamFault } from '@gatehouse/service-kit';
import type { Request } from 'express';
import type { ItemsClient, Reservations } from './items-client.ts';
import type { NewLine, OrderLine, OrderStore } from './store.ts';

interface OpenOrder {
  id: string;
  lines: readonly NewLine[];
}
export type Ordering = ReturnType<typeof createOrdering>;

/**
 * What becomes of an order and of what it reserves at items, together (docs/adr/0026): reservations have the id of the
 * order, and the database knows from the first moment when they are to be given back.
 */
export function createOrdering(orders: OrderStore, items: ItemsClient) {
  async function release({ id, lines }: OpenOrder, reservations: Reservations): Promise<void> {
    for (const { itemId } of lines) await reservations.release(id, itemId);
    await orders.released(id);
  }

  async function tryToRelease(
    order: OpenOrder,
    reservations: Reservations | Promise<Reservations>,
  ): Promise<void> {
    try {
      await release(order, await reservations);
    } catch {
      // It is due, so releaseDue will, and complains if it cannot either.
    }
  }

  return {
    /**
     * The order, all of it reserved; the one of before when the caller repeats a key.
     * @throws Problem 409 when there is not enough in stock, 422 when there is no such item, 503 when items fails us
     */
    async place(ownerId: string, lines: readonly NewLine[], key: string | undefined, req: Request) {
      const fingerprint = fingerprintOf(lines.map(({ itemId, quantity }) => [itemId, quantity]));
      const id = await orders.open({ ownerId, idempotencyKey: key, fingerprint }, lines);
      if (id === undefined) {
        const first = await orders.findByKey(ownerId, key ?? '');
        const order = requireRepeated(first, fingerprint, ({ status }) => status === 'pending');
        // What was answered at first, whatever has become of the order.
        return { ...order, status: 'confirmed' as const };
      }
      const reservations = await items.onBehalfOf(req).catch(async (error) => {
        // Nothing is reserved, so there is nothing that could be given back.
        if (await orders.abandon(id)) await orders.released(id);
        throw error;
      });
      try {
        const reserved = await reserve({ id, lines }, reservations);
        await Promise.all(reserved.map(({ itemId }) => reservations.confirm(id, itemId)));
        const order = await orders.confirm(id, reserved);
        if (order === undefined) throw upstreamFault(new Error('the order took too long'));
        return order;
      } catch (error) {
        if (await orders.abandon(id)) await tryToRelease({ id, lines }, reservations);
        throw error;
      }
    },

    /** The cancelled order, as often as it is asked for; its items may have their stock back later. */
    async cancel(ownerId: string, id: string, req: Request) {
      const isChanged = await orders.cancel(ownerId, id);
      const order = await orders.find(ownerId, id);
      if (order && isChanged) await tryToRelease(order, items.onBehalfOf(req));
      return order;
    },

    /** Gives back what failed, crashed or cancelled orders have reserved, of some that are due. */
    async releaseDue() {
      const due = await orders.takeDue();
      await settleAll(due.map(async (order) => release(order, await items.inOwnName())));
    },
  };
}

// Every answer is awaited, so that nothing is reserved any more once the order is given up.
async function reserve({ id, lines }: OpenOrder, reservations: Reservations): Promise<OrderLine[]> {
  const held = await settleAll(lines.map((line) => reservations.hold(id, line)));
  const refused = (refusal: string, field: string, detail: string) =>
    held.flatMap((line, index) =>
      line === refusal ? [{ pointer: `#/lines/${index}/${field}`, detail }] : [],
    );
  const unknown = refused('unknown', 'itemId', 'No such item');
  if (unknown.length > 0) throw new Problem(422, 'Not every item exists', { errors: unknown });
  const short = refused('short', 'quantity', 'There is not enough in stock');
  if (short.length > 0) throw new Problem(409, 'Not everything is in stock', { errors: short });
  return held.filter((line) => typeof line === 'object');
}
