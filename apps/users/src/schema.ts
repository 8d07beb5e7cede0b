import { moment } from '@gatehouse/service-kit/columns';
import { pgSchema, text } from 'drizzle-orm/pg-core';

export const schema = pgSchema('users');

/**
 * What an account shows of itself; whether it may sign in, as what, and that no other has its name, is for the
 * authorization server to say.
 */
export const profiles = schema.table('profiles', {
  id: text('id').primaryKey(),
  username: text('username').notNull(),
  displayName: text('display_name').notNull(),
  email: text('email'),
  createdAt: moment('created_at').notNull().defaultNow(),
});
