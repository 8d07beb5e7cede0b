import { and, desc, type SQL, sql } from 'drizzle-orm';
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core';
import { z } from 'zod';
import type { Db } from './database.ts';

/** Lists run from the newest row to the oldest; the id parts rows of one millisecond. */
interface Position {
  createdAt: Date;
  id: string;
}

// Fourteen digits of milliseconds end in the year 5138, which every timestamp can hold.
const positionText = /^(\d{1,14})\.([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})$/;

const CursorSchema = z
  .string()
  .max(100)
  .transform((cursor, context): Position => {
    const [, milliseconds, id] = positionText.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? [];
    if (milliseconds !== undefined && id !== undefined)
      return { createdAt: new Date(Number(milliseconds)), id };
    context.addIssue('Not a cursor of this list');
    return z.NEVER;
  });

/** The query of a list, to be extended with its filters. */
export const PageQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(20),
  cursor: CursorSchema.optional().meta({
    type: 'string',
    description: '`next` of the page before; without it, the first page',
  }),
});
export type PageQuery = z.output<typeof PageQuerySchema>;

/** The answer of a list: up to `limit` rows, and the cursor of the page after them, or null on the last one. */
export function createPageSchema<Schema extends z.ZodType>(schema: Schema) {
  return z.object({ items: z.array(schema), next: z.string().nullable() });
}

/**
 * A page of a table, newest first: of the rows that meet the condition, those after the cursor.
 * @param table its `createdAt` must be a timestamp(3): a cursor carries milliseconds
 */
export async function selectPage<Table extends PgTable & { createdAt: PgColumn; id: PgColumn }>(
  db: Db,
  table: Table,
  { limit, cursor }: PageQuery,
  condition?: SQL,
): Promise<{ items: Table['$inferSelect'][]; next: string | null }> {
  const { createdAt, id } = table;
  const olderOnes = cursor && sql`(${createdAt}, ${id}) < (${cursor.createdAt.toISOString()}, ${cursor.id})`;
  const rows: Record<string, unknown>[] = await db
    .select()
    .from(table as PgTable)
    .where(and(condition, olderOnes))
    .orderBy(desc(createdAt), desc(id))
    // The row too many tells that another page follows.
    .limit(limit + 1);
  const items = rows.slice(0, limit);
  const last = rows.length > limit ? (items.at(-1) as Position | undefined) : undefined;
  return { items, next: last ? cursorOf(last) : null };
}

function cursorOf({ createdAt, id }: Position): string {
  return Buffer.from(`${createdAt.getTime()}.${id}`).toString('base64url');
}
