import {
  createPageSchema,
  IdParamsSchema,
  PageQuerySchema,
  Problem,
  type Route,
  route,
  TextSchema,
  TimestampSchema,
} from '@gatehouse/service-kit';
import { z } from 'zod';
import type { ItemStore } from '../store.ts';

const NewItemSchema = z.strictObject({
  name: TextSchema.trim().min(1).max(120),
  description: TextSchema.max(2000).default(''),
  priceCents: z.int().min(0).max(100_000_000),
  stock: z.int().min(0).max(1_000_000),
});

const ItemSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    description: z.string(),
    priceCents: z.int(),
    currency: z.string(),
    stock: z.int(),
    ownerId: z.string(),
    createdAt: TimestampSchema,
    updatedAt: TimestampSchema,
  })
  .meta({ id: 'Item' });

const ItemPageSchema = createPageSchema(ItemSchema).meta({ id: 'ItemPage' });

const SearchSchema = PageQuerySchema.extend({
  q: TextSchema.max(120).optional().describe('A part of the name, in any case'),
});

/** Everyone with the scope reads every item; who adds one owns it. */
export function itemRoutes(items: ItemStore): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/items',
      scope: 'items:read',
      summary: 'Lists items, newest first',
      query: SearchSchema,
      responses: { 200: ItemPageSchema },
      handler: async ({ query }) => ({ status: 200, body: await items.list(query) }),
    }),
    route({
      method: 'get',
      path: '/users/me/items',
      scope: 'items:read',
      user: true,
      summary: 'Lists the items of the caller, newest first',
      query: SearchSchema,
      responses: { 200: ItemPageSchema },
      handler: async ({ query, caller }) => ({
        status: 200,
        body: await items.list({ ...query, ownerId: caller.subject }),
      }),
    }),
    route({
      method: 'get',
      path: '/items/{id}',
      scope: 'items:read',
      summary: 'Reads an item',
      params: IdParamsSchema,
      responses: { 200: ItemSchema },
      handler: async ({ params }) => {
        const item = await items.find(params.id);
        if (item === undefined) throw new Problem(404, 'No such item');
        return { status: 200, body: item };
      },
    }),
    route({
      method: 'post',
      path: '/items',
      scope: 'items:write',
      user: true,
      summary: 'Adds an item of the caller',
      body: NewItemSchema,
      responses: { 201: ItemSchema },
      handler: async ({ body, caller }) => {
        const item = await items.create(caller.subject, body);
        return { status: 201, body: item, headers: { Location: `/items/${item.id}` } };
      },
    }),
  ];
}
