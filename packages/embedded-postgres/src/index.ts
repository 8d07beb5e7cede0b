import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { PGlite } from '@electric-sql/pglite';
import type { MigrationConfig } from 'drizzle-orm/migrator';
import { drizzle, type PgliteDatabase } from 'drizzle-orm/pglite';
import { migrate } from 'drizzle-orm/pglite/migrator';

/** PostgreSQL inside this process. One for all services, since each instance takes more than 300 MB. */
export interface EmbeddedPostgres {
  readonly db: PgliteDatabase;
  migrate(config: MigrationConfig): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the data directory, or makes it.
 * @param dataDirectory undefined keeps everything in memory
 * @throws Error with one plain line when another process has the directory
 */
export async function openEmbeddedPostgres(dataDirectory: string | undefined): Promise<EmbeddedPostgres> {
  const unlock = dataDirectory === undefined ? () => {} : lock(dataDirectory);
  try {
    const pglite = await PGlite.create(dataDirectory && join(dataDirectory, 'postgres'));
    const db = drizzle(pglite);
    return {
      db,
      migrate: (config) => migrate(db, config),
      async close() {
        await pglite.close();
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

// Two instances on one directory lose rows without a word. SQLite's lock is the kernel's, so it cannot go stale.
function lock(dataDirectory: string): () => void {
  try {
    mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(join(dataDirectory, 'lock.sqlite'), { timeout: 0 });
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    return () => database.close();
  } catch (error) {
    const reason =
      (error as { errcode?: number }).errcode === 5 ? 'is in use by another process' : 'cannot be used';
    throw new Error(`the data directory ${dataDirectory} ${reason}`, { cause: error });
  }
}
