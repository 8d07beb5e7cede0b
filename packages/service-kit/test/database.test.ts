import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { realServer, startPostgres } from '@gatehouse/test-kit';
import { sql } from 'drizzle-orm';
import pg from 'pg';
import {
  createLogger,
  type Database,
  type DatabaseSource,
  isDatabaseUnavailable,
  openDatabase,
} from '../src/index.ts';

const logger = createLogger({ name: 'notes', level: 'silent' });
const migrations = new URL('fixtures/migrations', import.meta.url);
const open = (source: DatabaseSource) => openDatabase(source, { name: 'notes', migrations, logger });

async function storesRows(database: Database): Promise<void> {
  await database.ping();
  await database.db.execute(sql`insert into notes.notes values (1, 'kept')`);
  const { rows } = (await database.db.execute(sql`select text from notes.notes`)) as unknown as {
    rows: unknown[];
  };
  assert.deepEqual(rows, [{ text: 'kept' }]);
}

test('the embedded database is migrated and stores rows', async (t) => {
  const embedded = await openEmbeddedPostgres(undefined);
  t.after(() => embedded.close());
  await storesRows(await open({ embedded }));
  // A second start finds the migrations done.
  await open({ embedded });
});

test(
  'a PostgreSQL server is migrated once by several processes that start together',
  realServer('postgres'),
  async (t) => {
    const server = await startPostgres(t);
    const databases = await Promise.all([1, 2, 3].map(() => open({ url: server.url })));
    t.after(() => Promise.all(databases.map((database) => database.close())));
    await storesRows(databases[0] as Database);
  },
);

test(
  'several services that share an empty database, and start together, are all migrated',
  realServer('postgres'),
  async (t) => {
    const server = await startPostgres(t);
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    // Whoever makes a schema takes long enough for all to find it missing.
    await client.query(`
      create function linger() returns event_trigger language plpgsql as 'begin perform pg_sleep(0.2); end';
      create event trigger linger on ddl_command_end when tag in ('CREATE SCHEMA') execute function linger()`);
    await client.end();
    const folder = await mkdtemp(join(tmpdir(), 'gatehouse-migrations-'));
    t.after(() => rm(folder, { recursive: true }));
    await mkdir(join(folder, 'meta'));
    await writeFile(join(folder, 'meta/_journal.json'), '{"entries":[]}');
    const none = pathToFileURL(folder);
    const databases = await Promise.all(
      ['notes', 'letters', 'books'].map((name) =>
        openDatabase({ url: server.url }, { name, migrations: name === 'notes' ? migrations : none, logger }),
      ),
    );
    t.after(() => Promise.all(databases.map((database) => database.close())));
    await storesRows(databases[0] as Database);
  },
);

test(
  'a server that is gone is told apart from a query that is wrong',
  realServer('postgres', { own: true }),
  async (t) => {
    const server = await startPostgres(t, { own: true });
    const database = await open({ url: server.url });
    t.after(() => database.close());
    const fault = async () => {
      try {
        await database.db.execute(sql`select * from notes.nothing`);
        return undefined;
      } catch (error) {
        return isDatabaseUnavailable(error);
      }
    };
    assert.equal(await fault(), false);
    await server.stop();
    assert.equal(await fault(), true);
    await server.restart();
    await database.ping();
  },
);

test(
  'R21 a frozen server is unavailable after a deadline, not for ever',
  realServer('postgres', { own: true }),
  async (t) => {
    const server = await startPostgres(t, { own: true });
    const database = await open({ url: server.url });
    t.after(() => database.close());
    server.pause();
    t.after(() => server.resume());
    await assert.rejects(database.ping(), isDatabaseUnavailable);
    server.resume();
  },
);

test(
  'R21 a frozen server, to which a connection is open, keeps nobody from closing',
  realServer('postgres', { own: true }),
  async (t) => {
    const server = await startPostgres(t, { own: true });
    const database = await open({ url: server.url });
    await database.ping();
    server.pause();
    t.after(() => server.resume());
    const asking = assert.rejects(database.ping(), isDatabaseUnavailable);
    await database.close();
    await asking;
  },
);

test(
  'a server that restarts in the middle of a transaction fails that transaction, and nothing else',
  realServer('postgres', { own: true }),
  async (t) => {
    const server = await startPostgres(t, { own: true });
    const database = await open({ url: server.url });
    t.after(() => database.close());
    await assert.rejects(
      database.db.transaction(async (tx) => {
        await tx.execute(sql`insert into notes.notes values (2, 'half')`);
        await server.restart();
        await tx.execute(sql`select 1`);
      }),
      isDatabaseUnavailable,
    );
    const { rows } = (await database.db.execute(sql`select * from notes.notes`)) as unknown as {
      rows: unknown[];
    };
    assert.deepEqual(rows, []);
  },
);

test(
  'R21 transactions that a frozen server never began keep no connection',
  realServer('postgres', { own: true }),
  async (t) => {
    const server = await startPostgres(t, { own: true });
    const database = await open({ url: server.url });
    t.after(() => database.close());
    const asMany = <Result>(ask: () => Promise<Result>) => Array.from({ length: 10 }, ask);
    await Promise.all(asMany(async () => database.db.execute(sql`select pg_sleep(0.1)`)));
    server.pause();
    t.after(() => server.resume());
    const begun = asMany(() => database.db.transaction(async (tx) => void (await tx.execute(sql`select 1`))));
    for (const transaction of begun) await assert.rejects(transaction, isDatabaseUnavailable);
    server.resume();
    await database.ping();
  },
);

test(
  'R21 a transaction that a frozen server did not end is never gone on with',
  realServer('postgres', { own: true }),
  async (t) => {
    const server = await startPostgres(t, { own: true });
    const [database, other] = [await open({ url: server.url }), await open({ url: server.url })];
    t.after(() => Promise.all([database.close(), other.close()]));
    const insert = (id: number) => sql`insert into notes.notes values (${id}, 'text')`;
    const halfDone = database.db.transaction(async (tx) => {
      await tx.execute(insert(1));
      server.pause();
      await tx.execute(insert(2));
    });
    await assert.rejects(halfDone, isDatabaseUnavailable);
    server.resume();
    await database.db.execute(insert(3));
    await database.db.transaction(async (tx) => void (await tx.execute(insert(4))));
    const { rows } = (await other.db.execute(sql`select id from notes.notes`)) as unknown as {
      rows: unknown[];
    };
    assert.deepEqual(rows, [{ id: 3 }, { id: 4 }]);
  },
);

test(
  'R21 what a process locked that does not go on is free again soon',
  realServer('postgres', { own: true }),
  async (t) => {
    const server = await startPostgres(t, { own: true });
    const [frozen, other] = [await open({ url: server.url }), await open({ url: server.url })];
    t.after(() => Promise.all([frozen.close(), other.close()]));
    await storesRows(other);
    const change = sql`update notes.notes set text = 'changed'`;
    const [locked, over] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const halfDone = frozen.db.transaction(async (tx) => {
      await tx.execute(change);
      locked.resolve();
      await over.promise;
      await tx.execute(change);
    });
    await locked.promise;
    // Each of them waits a second for the lock.
    const tries = Array.from({ length: 5 }, () => () => other.db.execute(change));
    await tries.reduce<Promise<unknown>>((before, next) => before.catch(next), Promise.reject());
    over.resolve();
    await assert.rejects(halfDone, isDatabaseUnavailable);
  },
);

test(
  'a connection on which nothing can be written any more is unavailable, and given up',
  realServer('postgres'),
  async (t) => {
    const server = await startPostgres(t);
    const database = await open({ url: server.url });
    t.after(() => database.close());
    // As on a primary that has become a replica.
    await database.db.execute(sql`set session characteristics as transaction read only`);
    const insert = () =>
      database.db.transaction(async (tx) => {
        await tx.execute(sql`insert into notes.notes values (1, 'text')`);
      });
    await assert.rejects(insert, isDatabaseUnavailable);
    await insert();
  },
);

test(
  'a transaction that did not fit those beside it is no fault of the request',
  realServer('postgres'),
  async (t) => {
    const server = await startPostgres(t);
    const database = await open({ url: server.url });
    t.after(() => database.close());
    await storesRows(database);
    const change = sql`update notes.notes set text = 'changed'`;
    const late = database.db.transaction(
      async (tx) => {
        await tx.execute(sql`select text from notes.notes`);
        await database.db.execute(change);
        await tx.execute(change);
      },
      { isolationLevel: 'repeatable read' },
    );
    await assert.rejects(late, isDatabaseUnavailable);
  },
);

test(
  'a server that lets us in no more is unavailable, and a process that starts says so at once',
  realServer('postgres', { own: true }),
  async (t) => {
    const server = await startPostgres(t, { own: true });
    const admin = await open({ url: server.url });
    t.after(() => admin.close());
    await admin.db.execute(sql`create role notes superuser login`);
    const url = server.url.replace('postgres@', 'notes@');
    const database = await open({ url });
    t.after(() => database.close());
    await admin.db.execute(sql`alter role notes nologin`);
    await admin.db.execute(
      sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'notes'`,
    );
    await assert.rejects(database.ping(), isDatabaseUnavailable, 'the connection that there was');
    await assert.rejects(database.ping(), { code: '28000' });
    await assert.rejects(database.db.execute(sql`select 1`), isDatabaseUnavailable);
    await assert.rejects(
      database.db.transaction(async () => {}),
      isDatabaseUnavailable,
    );
    const startedAt = performance.now();
    await assert.rejects(open({ url }), { code: '28000' });
    const nowhere = server.url.replace(/postgres$/, 'nowhere');
    await assert.rejects(open({ url: nowhere }), { code: '3D000' });
    assert.ok(performance.now() - startedAt < 10_000);
  },
);
