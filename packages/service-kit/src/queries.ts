import { ilike, type SQL, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';

/** The condition that a text has this part, in any case; its `%` and `_` stand for themselves. */
export function contains(column: PgColumn, part: string): SQL {
  return ilike(column, `%${part.replaceAll(/[\\%_]/g, '\\$&')}%`);
}

/** By the clock of the database, which all processes share. */
export function secondsFromNow(seconds: number): SQL {
  return sql`now() + ${seconds} * interval '1 second'`;
}

/** The row that the insert of one row returns. */
export function insertedRow<Row>([row]: readonly Row[]): Row {
  if (row === undefined) throw new Error('the insert returned no row');
  return row;
}
