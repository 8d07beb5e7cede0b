import { pgSchema, text, timestamp } from 'drizzle-orm/pg-core';

export const schema = pgSchema('users');

/** What an account shows of itself; whether it may sign in, and as what, is for the authorization server to say. */
export const profiles = schema.table('profiles', {
  id: text('id').primaryKey(),
  username: text('username').notNull().unique(),
  displayName: text('display_name').notNull(),
  email: text('email').notNull(),
  createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull().defaultNow(),
});
