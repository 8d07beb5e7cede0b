import {
  type Caller,
  created,
  createPageSchema,
  noContent,
  ok,
  PageQuerySchema,
  type Route,
  requireChanged,
  requireFound,
  requireOwnerOr,
  route,
  TextSchema,
  TimestampSchema,
} from '@gatehouse/service-kit';
import { z } from 'zod';
import type { ItemStore } from '../store.ts';

const fields = {
  name: TextSchema.trim().min(1).max(120),
  description: TextSchema.max(2000),
  priceCents: z.int().min(0).max(100_000_000),
  stock: z.int().min(0).max(1_000_000),
};
const example = { name: 'Lantern', description: 'Brass, burns paraffin.', priceCents: 4900, stock: 12 };
const NewItemSchema = z
  .strictObject({ ...fields, description: fields.description.default('') })
  .meta({ examples: [example] });
// RFC 7396: null removes a member, and of these only the description can be without one.
const ItemChangeSchema = z
  .strictObject({ ...fields, description: fields.description.nullable().transform((text) => text ?? '') })
  .partial()
  .meta({ examples: [example] });

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

const ofTheOwner = { scope: 'items:write', user: true, owner: 'caller or admin', ifMatch: true } as const;

/** Everyone with the scope reads every item; who adds one owns it, and alone changes it, but for admins. */
export function itemRoutes(items: ItemStore): readonly Route[] {
  const found = async (id: string) => requireFound(await items.find(id), 'No such item');

  const requireOwned = async (id: string, caller: Caller) => requireOwnerOr('admin', await found(id), caller);

  return [
    route('get', '/items', {
      scope: 'items:read',
      summary: 'Lists items, newest first',
      query: SearchSchema,
      responses: { 200: ItemPageSchema },
      handler: async ({ query }) => ok(await items.list(query)),
    }),
    route('get', '/users/me/items', {
      scope: 'items:read',
      user: true,
      summary: 'Lists the items of the caller, newest first',
      query: SearchSchema,
      responses: { 200: ItemPageSchema },
      handler: async ({ query, caller }) => ok(await items.list({ ...query, ownerId: caller.subject })),
    }),
    route('get', '/items/{id}', {
      scope: 'items:read',
      summary: 'Reads an item',
      responses: { 200: ItemSchema },
      versioned: true,
      handler: async ({ params }) => ok(await found(params.id)),
    }),
    route('post', '/items', {
      scope: 'items:write',
      user: true,
      summary: 'Adds an item of the caller',
      body: NewItemSchema,
      responses: { 201: ItemSchema },
      versioned: true,
      handler: async ({ body, caller }) => {
        const item = await items.create({ ...body, ownerId: caller.subject });
        return created(`/items/${item.id}`, item);
      },
    }),
    route('patch', '/items/{id}', {
      ...ofTheOwner,
      summary: 'Changes an item of the caller',
      body: ItemChangeSchema,
      responses: { 200: ItemSchema },
      versioned: true,
      handler: async ({ params: { id }, body, versions, caller }) => {
        await requireOwned(id, caller);
        return ok(requireChanged(await items.change(id, versions, body)));
      },
    }),
    route('delete', '/items/{id}', {
      ...ofTheOwner,
      summary: 'Removes an item of the caller',
      responses: { 204: z.undefined() },
      handler: async ({ params: { id }, versions, caller }) => {
        await requireOwned(id, caller);
        requireChanged(await items.remove(id, versions));
        return noContent;
      },
    }),
  ];
}
