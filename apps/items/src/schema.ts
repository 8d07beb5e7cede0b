import { moment, versionColumns } from '@gatehouse/service-kit/columns';
import { sql } from 'drizzle-orm';
import { index, integer, pgSchema, primaryKey, text, uuid } from 'drizzle-orm/pg-core';

export const schema = pgSchema('items');

/** What is for sale, and whose it is; a subject of OAuth is any text. */
export const items = schema.table(
  'items',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    ownerId: text('owner_id').notNull(),
    name: text('name').notNull(),
    description: text('description').notNull(),
    priceCents: integer('price_cents').notNull(),
    currency: text('currency').notNull().default('EUR'),
    stock: integer('stock').notNull(),
    ...versionColumns,
  },
  (table) => [
    index('items_newest').on(table.createdAt, table.id),
    index('items_newest_of_owner').on(table.ownerId, table.createdAt, table.id),
  ],
);

/** What services have taken from the stock for somebody, each under an id of its own. */
export const reservations = schema.table(
  'reservations',
  {
    itemId: uuid('item_id')
      .notNull()
      .references(() => items.id, { onDelete: 'cascade' }),
    id: uuid('id').notNull(),
    reservedBy: text('reserved_by').notNull(),
    subject: text('subject').notNull(),
    quantity: integer('quantity').notNull(),
    // When it lapses; null once it is confirmed.
    expiresAt: moment('expires_at'),
  },
  ({ itemId, id, expiresAt }) => [
    primaryKey({ columns: [itemId, id] }),
    index('reservations_lapsing').on(expiresAt).where(sql`${expiresAt} is not null`),
  ],
);
