import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { sql } from 'drizzle-orm';
import type { MigrationConfig } from 'drizzle-orm/migrator';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import pg from 'pg';
import { requireSetting } from './config.ts';
import { isDatabaseRefusal, isDatabaseUnavailable } from './database-errors.ts';
import type { Logger } from './log.ts';
import { traceQueries } from './trace-queries.ts';

/** Drizzle over a PostgreSQL server or over the embedded one: the same queries run on both. */
export type Db = PgDatabase<PgQueryResultHKT>;

export interface Database {
  readonly db: Db;
  /** @throws when the database does not answer */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** A database inside this process, as packages/embedded-postgres opens it; whoever opened it closes it. */
export interface EmbeddedDatabase {
  readonly db: Db;
  migrate(config: MigrationConfig): Promise<void>;
}

/** Where the database is: on the server at `url`, or in this process. */
export interface DatabaseSource {
  url?: string | undefined;
  embedded?: EmbeddedDatabase | undefined;
}

const startTimeoutMs = 30_000;
const endTimeoutMs = 3_000;

/**
 * A migrated database: waits up to 30 s for the server to come up, then runs the service's migrations under a lock,
 * so that several processes may start at once.
 * @param name the service; its tables live in the PostgreSQL schema of this name
 * @param migrations the folder that drizzle-kit generated
 */
export async function openDatabase(
  source: DatabaseSource,
  { name, migrations, logger }: { name: string; migrations: URL; logger: Logger },
): Promise<Database> {
  const options = {
    migrationsFolder: fileURLToPath(migrations),
    // One bookkeeping table for each service, since services may share one database.
    migrationsSchema: 'migrations',
    migrationsTable: name,
  };
  if (source.embedded && source.url === undefined) {
    const { db } = source.embedded;
    await source.embedded.migrate(options);
    traceQueries(db, {});
    return {
      db,
      ping: async () => void (await db.execute(sql`select 1`)),
      close: async () => {},
    };
  }
  const url = requireSetting(source.url, 'DATABASE_URL');
  const pool = new pg.Pool({
    connectionString: url,
    application_name: name,
    max: 10,
    // Shorter than the 2 s that the gateway waits: whoever gave up must not find the work done afterwards.
    connectionTimeoutMillis: 1_000,
    query_timeout: 1_500,
    statement_timeout: 1_500,
    lock_timeout: 1_000,
    // What a process that is frozen or cut off has locked is free again soon.
    idle_in_transaction_session_timeout: 3_000,
    idleTimeoutMillis: 30_000,
  });
  // A connection that breaks in use also fails its query; without a listener the event would end the process.
  pool.on('connect', (client) => client.on('error', () => {}));
  pool.on('error', (error) => logger.warn({ err: error }, 'lost an idle database connection'));
  const db = drizzleOver(pool);
  try {
    await connectWithin(startTimeoutMs, pool, logger);
    await migrateAlone(url, options);
  } catch (error) {
    await pool.end();
    throw error;
  }
  const { hostname, port, pathname } = new URL(url);
  traceQueries(db, {
    'server.address': hostname,
    'server.port': Number(port) || 5432,
    'db.namespace': decodeURIComponent(pathname.slice(1)),
  });
  return {
    db,
    ping: async () => void (await pool.query('select 1')),
    close: () => endWithin(endTimeoutMs, pool, logger),
  };
}

/**
 * Drizzle's own transactions keep a connection for ever whose BEGIN has failed, and give back one whose ROLLBACK was never
 * sent: what others do on it next would be in a transaction that nobody ends.
 */
function drizzleOver(pool: pg.Pool): Db {
  const db: Db = drizzle(pool);
  db._.session.transaction = async (work, config) => {
    const client = await pool.connect();
    let isLost = false;
    try {
      return await (drizzle(client) as Db).transaction(work, config);
    } catch (error) {
      isLost = isDatabaseUnavailable(error);
      throw error;
    } finally {
      client.release(isLost);
    }
  };
  return db;
}

/** A server that is frozen, or gone in the middle, may never say goodbye. */
async function endWithin(timeoutMs: number, pool: pg.Pool, logger: Logger): Promise<void> {
  const ended = new AbortController();
  const isLate = delay(timeoutMs, true, { signal: ended.signal }).catch(() => false);
  if (await Promise.race([pool.end(), isLate]))
    logger.warn('connections to the database did not end in time');
  ended.abort();
}

async function connectWithin(timeoutMs: number, pool: pg.Pool, logger: Logger): Promise<void> {
  const giveUpAt = performance.now() + timeoutMs;
  for (;;) {
    try {
      await pool.query('select 1');
      return;
    } catch (error) {
      const mayCome = isDatabaseUnavailable(error) && !isDatabaseRefusal(error);
      if (!mayCome || performance.now() > giveUpAt) throw error;
      logger.warn({ err: error }, 'the database is not there yet');
      await delay(500);
    }
  }
}

async function migrateAlone(url: string, options: MigrationConfig): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 2_000,
    lock_timeout: startTimeoutMs,
    query_timeout: 2 * startTimeoutMs,
  });
  client.on('error', () => {});
  await client.connect();
  try {
    // One for all services: on a database that they share, `create schema if not exists` fails for all but the first.
    await client.query(`select pg_advisory_lock(hashtext('gatehouse:migrations'))`);
    await migrate(drizzle(client), options);
  } finally {
    // Ending the connection gives the lock back.
    await client.end();
  }
}
