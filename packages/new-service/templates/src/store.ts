import { type Db, insertedRow, type PageQuery, selectPage } from '@gatehouse/service-kit';
import { and, eq } from 'drizzle-orm';
import { stickyNotes } from './schema.ts';

export type StickyNoteStore = ReturnType<typeof createStickyNoteStore>;

/** Sticky notes in the database, newest first. */
export function createStickyNoteStore(db: Db) {
  return {
    list: (ownerId: string, page: PageQuery) =>
      selectPage(db, stickyNotes, page, eq(stickyNotes.ownerId, ownerId)),

    async find(ownerId: string, id: string) {
      const [stickyNote] = await db
        .select()
        .from(stickyNotes)
        .where(and(eq(stickyNotes.ownerId, ownerId), eq(stickyNotes.id, id)));
      return stickyNote;
    },

    async create(ownerId: string, text: string) {
      return insertedRow(await db.insert(stickyNotes).values({ ownerId, text }).returning());
    },
  };
}
