import type { Db } from '@gatehouse/service-kit';
import { eq, inArray } from 'drizzle-orm';
import { profiles } from './schema.ts';

export type ProfileStore = ReturnType<typeof createProfileStore>;

/** Profiles in the database, by the subject of their account. */
export function createProfileStore(db: Db) {
  async function find(id: string) {
    const [profile] = await db.select().from(profiles).where(eq(profiles.id, id));
    return profile;
  }

  return {
    find,

    /** Afterwards the profile exists; one that was there before is left as it is. */
    async add(profile: typeof profiles.$inferInsert) {
      await db.insert(profiles).values(profile).onConflictDoNothing();
    },

    /** The profile as it is then; nothing to change is no fault. */
    async change(id: string, changes: { displayName?: string | undefined }) {
      if (changes.displayName === undefined) return find(id);
      const [profile] = await db.update(profiles).set(changes).where(eq(profiles.id, id)).returning();
      return profile;
    },

    /** The names that these accounts go by, of those that have a profile. */
    async displayNames(ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
      const { id, displayName } = profiles;
      const rows = await db
        .select({ id, displayName })
        .from(profiles)
        .where(inArray(id, [...ids]));
      return new Map(rows.map((row) => [row.id, row.displayName]));
    },
  };
}
