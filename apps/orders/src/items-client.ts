import {
  createDelegatedFetch,
  createOwnFetch,
  parseAnswer,
  type ServiceFetch,
  TextSchema,
  upstreamFault,
} from '@gatehouse/service-kit';
import type { Request } from 'express';
import { z } from 'zod';
import type { OrdersConfig } from './config.ts';
import type { NewLine, OrderLine } from './store.ts';

const ReservationSchema = z.object({
  name: TextSchema,
  unitPriceCents: z.int().min(0).max(100_000_000),
  currency: z.literal('EUR'),
});

export type ItemsClient = ReturnType<typeof createItemsClient>;
export type Reservations = ReturnType<typeof reservationsBy>;

/**
 * Reservations at items. What throws is a Problem 503 when items or the token endpoint fails us, or an AuthError 401 when
 * the caller's token is refused.
 */
export function createItemsClient(config: OrdersConfig) {
  const items = { url: config.ITEMS_URL, audience: 'urn:gatehouse:items', scope: 'items:reserve' };
  const actFor = createDelegatedFetch(config, items);
  const act = createOwnFetch(config, items);
  return {
    onBehalfOf: async (req: Request) => reservationsBy(await actFor(req)),
    /** For giving back what orders itself has reserved, when nobody is there to act for. */
    inOwnName: async () => reservationsBy(await act()),
  };
}

function reservationsBy(send: ServiceFetch) {
  const fault = (status: number) => upstreamFault(new Error(`items answered ${status}`));
  return {
    /** The line with name and price; `unknown` or `short` when there is no such item, or not enough of it. */
    async hold(id: string, { itemId, quantity }: NewLine): Promise<OrderLine | 'unknown' | 'short'> {
      const request = { method: 'POST', json: { id, quantity } } as const;
      const { status, body } = await send(`/items/${itemId}/reservations`, request);
      if (status === 404) return 'unknown';
      if (status === 409) return 'short';
      if (status !== 201) throw fault(status);
      const { name, unitPriceCents } = parseAnswer(ReservationSchema, body);
      return { itemId, quantity, name, unitPriceCents };
    },

    async confirm(id: string, itemId: string) {
      const { status } = await send(`/items/${itemId}/reservations/${id}/confirm`, { method: 'POST' });
      if (status !== 204) throw fault(status);
    },

    async release(id: string, itemId: string) {
      const { status } = await send(`/items/${itemId}/reservations/${id}`, { method: 'DELETE' });
      if (status !== 204 && status !== 404) throw fault(status);
    },
  };
}
