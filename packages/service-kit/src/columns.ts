import { integer, timestamp } from 'drizzle-orm/pg-core';

/** A column for a moment, in milliseconds: cursors of lists carry no more, so no more must be kept. */
export const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3 });

/** The columns of what is changed with If-Match: `version` counts its changes, for the ETag. */
export const versionColumns = {
  version: integer('version').notNull().default(1),
  createdAt: moment('created_at').notNull().defaultNow(),
  updatedAt: moment('updated_at').notNull().defaultNow(),
};
