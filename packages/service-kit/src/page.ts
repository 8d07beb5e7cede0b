import { type SQL, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import { z } from 'zod';

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
 * The condition that keeps the rows after a cursor, for a query ordered by `created_at desc, id desc`.
 * @param columns `createdAt` must be a timestamp(3): a cursor carries milliseconds
 */
export function olderThan(
  columns: { createdAt: PgColumn; id: PgColumn },
  cursor: Position | undefined,
): SQL | undefined {
  return (
    cursor && sql`(${columns.createdAt}, ${columns.id}) < (${cursor.createdAt.toISOString()}, ${cursor.id})`
  );
}

/**
 * Cuts rows to a page.
 * @param rows what a query with `limit + 1` returned: the row too many tells that another page follows
 */
export function toPage<Row extends Position>(
  rows: readonly Row[],
  limit: number,
): { items: Row[]; next: string | null } {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const next = last && rows.length > limit ? `${last.createdAt.getTime()}.${last.id}` : null;
  return { items, next: next && Buffer.from(next).toString('base64url') };
}
