import { moment } from '@gatehouse/service-kit/columns';
import { index, pgSchema, text, uuid } from 'drizzle-orm/pg-core';

export const schema = pgSchema('sticky-notes');

/** The sticky notes of everyone; a subject of OAuth is any text. */
export const stickyNotes = schema.table(
  'sticky_notes',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    ownerId: text('owner_id').notNull(),
    text: text('text').notNull(),
    createdAt: moment('created_at').notNull().defaultNow(),
  },
  (table) => [index('sticky_notes_newest_of_owner').on(table.ownerId, table.createdAt, table.id)],
);
