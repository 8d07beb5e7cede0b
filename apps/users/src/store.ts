import type { Db } from '@gatehouse/service-kit';
import { eq } from 'drizzle-orm';
import { profiles } from './schema.ts';

export type ProfileStore = ReturnType<typeof createProfileStore>;

/** Profiles in the database, by the subject of their account. */
export function createProfileStore(db: Db) {
  return {
    async find(id: string) {
      const [profile] = await db.select().from(profiles).where(eq(profiles.id, id));
      return profile;
    },

    async change(id: string, changes: { displayName: string }) {
      const [profile] = await db.update(profiles).set(changes).where(eq(profiles.id, id)).returning();
      return profile;
    },
  };
}
