import { index, pgSchema, text, timestamp, uuid } from 'drizzle-orm/pg-core';

export const schema = pgSchema('notes');

/** The notes of everyone; a subject of OAuth is any text. */
export const notes = schema.table(
  'notes',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    ownerId: text('owner_id').notNull(),
    text: text('text').notNull(),
    // Cursors of lists carry milliseconds, so the column must not keep more.
    createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull().defaultNow(),
  },
  (table) => [index('notes_newest_of_owner').on(table.ownerId, table.createdAt, table.id)],
);
