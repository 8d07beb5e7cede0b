import { createDelegatedFetch, parseAnswer, TextSchema, upstreamFault } from '@gatehouse/service-kit';
import type { Request } from 'express';
import { z } from 'zod';
import type { OrdersConfig } from './config.ts';

const PricedItemSchema = z.object({
  id: z.uuid(),
  name: TextSchema,
  priceCents: z.int().min(0).max(100_000_000),
  currency: z.literal('EUR'),
});
export type PricedItem = z.output<typeof PricedItemSchema>;
export type ItemsClient = ReturnType<typeof createItemsClient>;

/** Reads items with the rights of the caller. */
export function createItemsClient(config: OrdersConfig) {
  const actFor = createDelegatedFetch({
    url: config.ITEMS_URL,
    tokenUrl: config.TOKEN_URL,
    clientId: config.CLIENT_ID,
    clientSecret: config.CLIENT_SECRET,
    audience: 'urn:gatehouse:items',
    scope: 'items:read',
  });

  return {
    /** The items by id; one that does not exist is missing. Throws Problem 401 or 503. */
    async findAll(ids: readonly string[], req: Request): Promise<ReadonlyMap<string, PricedItem>> {
      const get = await actFor(req);
      const found = new Map<string, PricedItem>();
      const read = async (id: string) => {
        const { status, body } = await get(`/items/${id}`);
        if (status === 200) found.set(id, parseAnswer(PricedItemSchema, body));
        else if (status !== 404) throw upstreamFault(new Error(`items answered ${status}`));
      };
      await Promise.all(ids.map(read));
      return found;
    },
  };
}
