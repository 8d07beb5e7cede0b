import { type Db, insertedRow, type PageQuery, selectPage } from '@gatehouse/service-kit';
import { and, eq } from 'drizzle-orm';
import { notes } from './schema.ts';

export type NoteStore = ReturnType<typeof createNoteStore>;

/** Notes in the database, newest first. */
export function createNoteStore(db: Db) {
  return {
    list: (ownerId: string, page: PageQuery) => selectPage(db, notes, page, eq(notes.ownerId, ownerId)),

    async find(ownerId: string, id: string) {
      const [note] = await db
        .select()
        .from(notes)
        .where(and(eq(notes.ownerId, ownerId), eq(notes.id, id)));
      return note;
    },

    async create(ownerId: string, text: string) {
      return insertedRow(await db.insert(notes).values({ ownerId, text }).returning());
    },
  };
}
