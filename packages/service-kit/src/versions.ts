import { and, eq, inArray, sql } from 'drizzle-orm';
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core';
import type { Db } from './database.ts';
import type { Versions } from './entity-tag.ts';
import { Problem } from './problem.ts';
import { insertedRow } from './queries.ts';

/** A table with `versionColumns`. */
type VersionedTable = PgTable & { id: PgColumn; version: PgColumn };

/** What every change of a row sets besides. */
export function nextVersion({ version }: VersionedTable) {
  return { version: sql`${version} + 1`, updatedAt: sql`now()` };
}

/** The rows of a table with `versionColumns`, by their ids. */
export function createVersionedRows<Table extends VersionedTable>(db: Db, table: Table) {
  type Row = Table['$inferSelect'];
  type NewRow = Table['$inferInsert'];

  const isVersion = (id: string, versions: Versions) =>
    and(eq(table.id, id), versions === 'any' ? undefined : inArray(table.version, [...versions]));

  return {
    async find(id: string): Promise<Row | undefined> {
      const [row] = await db
        .select()
        .from(table as PgTable)
        .where(eq(table.id, id));
      return row;
    },

    async create(row: NewRow): Promise<Row> {
      return insertedRow<Row>(await db.insert(table).values(row).returning());
    },

    /** The changed row; undefined when it has none of these versions any more. */
    async change(
      id: string,
      versions: Versions,
      changes: { [Column in keyof NewRow]?: NewRow[Column] | undefined },
    ): Promise<Row | undefined> {
      const next = { ...changes, ...nextVersion(table) };
      const [row] = await db
        .update(table as PgTable)
        .set(next)
        .where(isVersion(id, versions))
        .returning();
      return row;
    },

    /** The row that is gone now; undefined when it has none of these versions any more. */
    async remove(id: string, versions: Versions): Promise<Row | undefined> {
      const [row] = await db.delete(table).where(isVersion(id, versions)).returning();
      return row;
    },
  };
}

/**
 * What a change or a removal of the versions that If-Match names has come to.
 * @throws Problem 412 when there was none of them any more
 */
export function requireChanged<Thing>(thing: Thing | undefined): Thing {
  if (thing === undefined) throw new Problem(412, 'It has changed since you read it: read it again');
  return thing;
}
