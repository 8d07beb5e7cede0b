import { demoAccounts } from '@gatehouse/demo-data';
import type { Db } from '@gatehouse/service-kit';
import { profiles } from './schema.ts';

const createdAt = new Date(Date.UTC(2026, 0, 1, 8));

/** Adds the profiles of the demo accounts that are not there; what was changed since stays as it is. */
export async function seed(db: Db): Promise<void> {
  const rows = Object.values(demoAccounts).map(({ id, username, displayName, email }) => {
    return { id, username, displayName, email, createdAt };
  });
  await db.insert(profiles).values(rows).onConflictDoNothing();
}
