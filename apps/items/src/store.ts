import { type Db, olderThan, type PageQuery, toPage, type Versions } from '@gatehouse/service-kit';
import { and, desc, eq, ilike, inArray, sql } from 'drizzle-orm';
import { items } from './schema.ts';

export type NewItem = Pick<typeof items.$inferInsert, 'name' | 'description' | 'priceCents' | 'stock'>;
export type ItemChange = { [Field in keyof NewItem]?: NewItem[Field] | undefined };
export type ItemStore = ReturnType<typeof createItemStore>;

/** Items in the database, newest first. */
export function createItemStore(db: Db) {
  return {
    async list({
      limit,
      cursor,
      q,
      ownerId,
    }: PageQuery & { q?: string | undefined; ownerId?: string | undefined }) {
      const filters = and(
        olderThan(items, cursor),
        q === undefined ? undefined : ilike(items.name, `%${escapeLike(q)}%`),
        ownerId === undefined ? undefined : eq(items.ownerId, ownerId),
      );
      const newestFirst = [desc(items.createdAt), desc(items.id)];
      const rows = await db
        .select()
        .from(items)
        .where(filters)
        .orderBy(...newestFirst)
        .limit(limit + 1);
      return toPage(rows, limit);
    },

    async find(id: string) {
      const [item] = await db.select().from(items).where(eq(items.id, id));
      return item;
    },

    async create(ownerId: string, item: NewItem) {
      const [created] = await db
        .insert(items)
        .values({ ...item, ownerId })
        .returning();
      if (created === undefined) throw new Error('the insert returned no row');
      return created;
    },

    /** The changed item; undefined when it has none of these versions any more. */
    async change(id: string, versions: Versions, changes: ItemChange) {
      const [changed] = await db
        .update(items)
        .set({ ...changes, version: sql`${items.version} + 1`, updatedAt: sql`now()` })
        .where(isVersion(id, versions))
        .returning();
      return changed;
    },

    /** Whether it is gone now; false when it has none of these versions any more. */
    async remove(id: string, versions: Versions) {
      const removed = await db.delete(items).where(isVersion(id, versions)).returning({ id: items.id });
      return removed.length > 0;
    },
  };
}

function isVersion(id: string, versions: Versions) {
  return and(eq(items.id, id), versions === 'any' ? undefined : inArray(items.version, [...versions]));
}

function escapeLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, '\\$&');
}
