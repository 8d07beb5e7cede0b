import { moment } from '@gatehouse/service-kit/columns';
import { sql } from 'drizzle-orm';
import {
  bigint,
  index,
  integer,
  pgSchema,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

export const schema = pgSchema('orders');

/** What was ordered by whom; a subject of OAuth is any text. */
export const orders = schema.table(
  'orders',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    ownerId: text('owner_id').notNull(),
    // Its owner sees it once it is confirmed. An abandoned one never will be, and is deleted.
    status: text('status', { enum: ['pending', 'confirmed', 'cancelled', 'abandoned'] }).notNull(),
    // When its reservations are given back, unless it is confirmed before; null where there is nothing to give back.
    releaseAt: timestamp('release_at', { withTimezone: true }),
    idempotencyKey: text('idempotency_key'),
    // Of what was ordered, for whoever repeats the key.
    fingerprint: text('fingerprint'),
    totalCents: bigint('total_cents', { mode: 'number' }).notNull().default(0),
    currency: text('currency').notNull(),
    createdAt: moment('created_at').notNull().defaultNow(),
  },
  (table) => [
    index('orders_newest_of_owner').on(table.ownerId, table.createdAt, table.id),
    uniqueIndex('orders_key_of_owner')
      .on(table.ownerId, table.idempotencyKey)
      .where(sql`${table.status} <> 'abandoned'`),
    index('orders_to_release').on(table.releaseAt).where(sql`${table.releaseAt} is not null`),
  ],
);

/** The lines of an order, with name and price as they were when it was confirmed. */
export const orderLines = schema.table(
  'order_lines',
  {
    orderId: uuid('order_id')
      .notNull()
      .references(() => orders.id, { onDelete: 'cascade' }),
    position: integer('position').notNull(),
    itemId: uuid('item_id').notNull(),
    name: text('name').notNull().default(''),
    quantity: integer('quantity').notNull(),
    unitPriceCents: integer('unit_price_cents').notNull().default(0),
  },
  (table) => [primaryKey({ columns: [table.orderId, table.position] })],
);
