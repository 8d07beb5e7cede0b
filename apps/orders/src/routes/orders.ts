import {
  created,
  createPageSchema,
  IdempotencyKeySchema,
  ok,
  PageQuerySchema,
  type Route,
  requireFound,
  route,
  TimestampSchema,
} from '@gatehouse/service-kit';
import { z } from 'zod';
import type { Ordering } from '../ordering.ts';
import type { OrderStore } from '../store.ts';

const NewLineSchema = z.strictObject({
  itemId: z.uuid().toLowerCase(),
  quantity: z.int().min(1).max(1000),
});
const NewOrderSchema = z.strictObject({
  lines: z
    .array(NewLineSchema)
    .min(1)
    .max(50)
    .refine((lines) => new Set(lines.map((line) => line.itemId)).size === lines.length, 'An item is repeated')
    .describe('One line for an item'),
});

const KeyedSchema = z.object({
  'idempotency-key': IdempotencyKeySchema.optional().describe(
    'The same again orders nothing, and has the same answer',
  ),
});

const LineSchema = z.object({
  itemId: z.uuid(),
  name: z.string(),
  quantity: z.int(),
  unitPriceCents: z.int(),
});
const OrderSchema = z
  .object({
    id: z.uuid(),
    // Nobody sees an order that is not confirmed yet.
    status: z.string().pipe(z.enum(['confirmed', 'cancelled'])),
    lines: z.array(LineSchema),
    totalCents: z.int(),
    currency: z.string(),
    createdAt: TimestampSchema,
  })
  .meta({ id: 'Order' });

const ofCaller = { user: true, owner: 'caller' } as const;
const noSuchOrder = 'No such order';

/** The orders of the caller, and nobody else's: those are as unknown as a free id. */
export function orderRoutes(orders: OrderStore, ordering: Ordering): readonly Route[] {
  return [
    route('get', '/orders', {
      ...ofCaller,
      scope: 'orders:read',
      summary: 'Lists the orders of the caller, newest first',
      query: PageQuerySchema,
      responses: { 200: createPageSchema(OrderSchema).meta({ id: 'OrderPage' }) },
      handler: async ({ query, caller }) => ok(await orders.list(caller.subject, query)),
    }),
    route('get', '/orders/{id}', {
      ...ofCaller,
      scope: 'orders:read',
      summary: 'Reads an order of the caller',
      responses: { 200: OrderSchema },
      handler: async ({ params, caller }) => {
        const order = await orders.find(caller.subject, params.id);
        return ok(requireFound(order, noSuchOrder));
      },
    }),
    route('post', '/orders', {
      ...ofCaller,
      scope: 'orders:write',
      summary: 'Orders items that are in stock, at the prices of the moment',
      headers: KeyedSchema,
      body: NewOrderSchema,
      responses: { 201: OrderSchema },
      conflicts: true,
      handler: async ({ headers: { 'idempotency-key': key }, body, caller, req }) => {
        const order = await ordering.place(caller.subject, body.lines, key, req);
        return created(`/orders/${order.id}`, order);
      },
    }),
    route('post', '/orders/{id}/cancel', {
      ...ofCaller,
      scope: 'orders:write',
      summary: 'Cancels an order of the caller, and gives its items back to the stock',
      responses: { 200: OrderSchema },
      handler: async ({ params, caller, req }) => {
        const order = await ordering.cancel(caller.subject, params.id, req);
        return ok(requireFound(order, noSuchOrder));
      },
    }),
  ];
}
