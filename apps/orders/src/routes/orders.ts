import {
  createPageSchema,
  type FieldError,
  IdParamsSchema,
  PageQuerySchema,
  Problem,
  type Route,
  route,
  TimestampSchema,
} from '@gatehouse/service-kit';
import { z } from 'zod';
import type { ItemsClient, PricedItem } from '../items-client.ts';
import type { OrderLine, OrderStore } from '../store.ts';

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
type NewOrder = z.output<typeof NewOrderSchema>;

const LineSchema = z.object({
  itemId: z.uuid(),
  name: z.string(),
  quantity: z.int(),
  unitPriceCents: z.int(),
});
const OrderSchema = z
  .object({
    id: z.uuid(),
    status: z.enum(['pending', 'confirmed', 'cancelled']),
    lines: z.array(LineSchema),
    totalCents: z.int(),
    currency: z.string(),
    createdAt: TimestampSchema,
  })
  .meta({ id: 'Order' });

/** The orders of the caller, and nobody else's: those are as unknown as a free id. */
export function orderRoutes(orders: OrderStore, items: ItemsClient): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/orders',
      scope: 'orders:read',
      user: true,
      owner: 'caller',
      summary: 'Lists the orders of the caller, newest first',
      query: PageQuerySchema,
      responses: { 200: createPageSchema(OrderSchema).meta({ id: 'OrderPage' }) },
      handler: async ({ query, caller }) => ({ status: 200, body: await orders.list(caller.subject, query) }),
    }),
    route({
      method: 'get',
      path: '/orders/{id}',
      scope: 'orders:read',
      user: true,
      owner: 'caller',
      summary: 'Reads an order of the caller',
      params: IdParamsSchema,
      responses: { 200: OrderSchema },
      handler: async ({ params, caller }) => {
        const order = await orders.find(caller.subject, params.id);
        if (order === undefined) throw new Problem(404, 'No such order');
        return { status: 200, body: order };
      },
    }),
    route({
      method: 'post',
      path: '/orders',
      scope: 'orders:write',
      user: true,
      owner: 'caller',
      summary: 'Orders items at the prices of the moment',
      body: NewOrderSchema,
      responses: { 201: OrderSchema },
      handler: async ({ body, caller, req }) => {
        const ids = body.lines.map((line) => line.itemId);
        const found = await items.findAll(ids, req);
        const order = await orders.create(caller.subject, priceLines(body.lines, found));
        return { status: 201, body: order, headers: { Location: `/orders/${order.id}` } };
      },
    }),
  ];
}

function priceLines(lines: NewOrder['lines'], items: ReadonlyMap<string, PricedItem>): OrderLine[] {
  const errors: FieldError[] = [];
  const priced = lines.flatMap((line, index) => {
    const item = items.get(line.itemId);
    if (item === undefined) errors.push({ pointer: `#/lines/${index}/itemId`, detail: 'No such item' });
    return item ? [{ ...line, name: item.name, unitPriceCents: item.priceCents }] : [];
  });
  if (errors.length > 0) throw new Problem(422, 'Not every item exists', { errors });
  return priced;
}
