import {
  created,
  noContent,
  Problem,
  type Route,
  requireFound,
  route,
  TimestampSchema,
} from '@gatehouse/service-kit';
import { z } from 'zod';
import type { ItemStore, ReservationStore } from '../store.ts';

const NewReservationSchema = z.strictObject({
  id: z
    .uuid()
    .toLowerCase()
    .describe('Chosen by whoever reserves: the same one again is the same reservation'),
  quantity: z.int().min(1).max(1_000_000),
});

const ReservationSchema = z
  .object({
    id: z.uuid(),
    itemId: z.uuid(),
    name: z.string(),
    quantity: z.int(),
    unitPriceCents: z.int(),
    currency: z.string(),
    expiresAt: TimestampSchema.nullable().describe('Null once it is confirmed'),
  })
  .meta({ id: 'Reservation' });

const ofServices = { scope: 'items:reserve', internal: true, responses: { 204: z.undefined() } } as const;

/** What other services take from the stock for somebody, and give back. */
export function reservationRoutes(items: ItemStore, reservations: ReservationStore): readonly Route[] {
  const done = (isDone: boolean) => {
    if (!isDone) throw new Problem(404, 'No such reservation');
    return noContent;
  };

  return [
    route('post', '/items/{id}/reservations', {
      ...ofServices,
      user: true,
      summary: 'Takes a quantity from the stock until the reservation lapses',
      body: NewReservationSchema,
      responses: { 201: ReservationSchema },
      conflicts: true,
      handler: async ({ params: { id: itemId }, body, caller }) => {
        const held = await reservations.hold(itemId, body, caller);
        if (held === undefined) {
          requireFound(await items.find(itemId), 'No such item');
          throw new Problem(409, 'There is not enough in stock, or the id is taken');
        }
        const { name, priceCents: unitPriceCents, currency } = held.item;
        const reservation = { ...held.made, name, unitPriceCents, currency };
        return created(`/items/${itemId}/reservations/${body.id}`, reservation);
      },
    }),
    route('post', '/items/{id}/reservations/{rid}/confirm', {
      ...ofServices,
      user: true,
      summary: 'Keeps a reservation from lapsing',
      handler: async ({ params, caller }) => done(await reservations.confirm(params.id, params.rid, caller)),
    }),
    route('delete', '/items/{id}/reservations/{rid}', {
      ...ofServices,
      summary: 'Gives what was reserved back to the stock',
      handler: async ({ params, caller }) => done(await reservations.release(params.id, params.rid, caller)),
    }),
  ];
}
