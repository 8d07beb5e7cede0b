import {
  counterIn,
  type Db,
  type Logger,
  type Metrics,
  type Repeated,
  repeat,
  secondsFromNow,
  settleAll,
} from '@gatehouse/service-kit';
import { asc, eq, inArray, sql } from 'drizzle-orm';
import type { RegisteredClient } from '../clients/clients.ts';
import type { Vault } from '../protocol/vault.ts';
import { logoutDeliveries as table } from '../schema.ts';

/** A client that is to hear that its session with an account has ended. */
export interface EndedSession {
  clientId: string;
  accountId: string;
  sid?: string | undefined;
}

/** The outbox of OpenID Connect Back-Channel Logout 1.0: clients hear of every logout, at least once. */
export interface LogoutDeliveries {
  /** Those of the clients that want to hear will, once `tx` is committed. */
  add(tx: Db, ended: readonly EndedSession[]): Promise<void>;
  /** Sends what is due, and looks for more every second until `close`; any number of processes may. */
  start(send: Send): void;
  close(): Promise<void>;
}

/** Sends one logout token, newly signed; throws when the client did not take it. */
export type Send = (ended: EndedSession & { sid: string }) => Promise<void>;

interface LogoutDeliveriesDependencies {
  db: Db;
  vault: Vault;
  clients: readonly RegisteredClient[];
  logger: Logger;
  metrics: Metrics;
}

type Row = typeof table.$inferSelect;

const deliveryPauseMs = 1_000;
// How long to wait after each failure; the last one is for all further ones.
const pausesSeconds = [1, 5, 30, 5 * 60, 30 * 60, 60 * 60];
// A client that has not taken it for so long never hears of it.
const longestDeliverySeconds = 24 * 60 * 60;
// A process that dies while it sends keeps nobody else from it for longer.
const claimSeconds = 10;
// Each is over within 2 s, and no client that hangs keeps the others from hearing.
const batchSize = 30;
const mostPerClient = 5;

/** The outbox in `db`; what concerns clients without a `backchannel_logout_uri` never gets into it. */
export function createLogoutDeliveries({
  db,
  vault,
  clients,
  logger,
  metrics,
}: LogoutDeliveriesDependencies): LogoutDeliveries {
  const wanting = new Set(
    clients.filter((client) => client.backchannel_logout_uri).map(({ client_id }) => client_id),
  );
  const counter = counterIn(metrics.registry, {
    name: 'auth_logout_deliveries_total',
    help: 'Attempts to tell a client of a logout, by how they ended',
    labelNames: ['outcome'],
  });

  /** Rows that nobody else sends for a while, a few of each client. */
  async function claim(): Promise<Row[]> {
    const due = db.$with('due').as(
      db
        .select({
          id: table.id,
          place:
            sql`row_number() over (partition by ${table.clientId} order by ${table.nextAttemptAt}, ${table.id})`.as(
              'place',
            ),
        })
        .from(table)
        .where(sql`${table.nextAttemptAt} <= now()`),
    );
    const free = db
      .with(due)
      .select({ id: table.id })
      .from(table)
      .where(
        sql`${table.id} in (select id from ${due} where ${due.place} <= ${mostPerClient}) and ${table.nextAttemptAt} <= now()`,
      )
      .orderBy(asc(table.nextAttemptAt))
      .limit(batchSize)
      .for('update', { skipLocked: true });
    return db
      .update(table)
      .set({ attempts: sql`${table.attempts} + 1`, nextAttemptAt: secondsFromNow(claimSeconds) })
      .where(inArray(table.id, free))
      .returning();
  }

  async function attempt(send: Send, row: Row): Promise<void> {
    const { id, clientId, accountId, sealedSid, attempts, createdAt } = row;
    const delivery = eq(table.id, id);
    try {
      await send({ clientId, accountId, sid: vault.open(sealedSid, context(clientId)) });
    } catch (err) {
      const isOver = createdAt.getTime() + longestDeliverySeconds * 1000 < Date.now();
      if (isOver) {
        logger.error({ err, clientId, accountId, attempts }, 'a client never heard of a logout');
        counter.inc({ outcome: 'given up' });
        await db.delete(table).where(delivery);
        return;
      }
      logger.warn({ err, clientId, attempts }, 'a client did not take a logout, it is told again');
      counter.inc({ outcome: 'failure' });
      const pause = pausesSeconds[attempts - 1] ?? pausesSeconds.at(-1) ?? 0;
      await db
        .update(table)
        .set({ nextAttemptAt: secondsFromNow(pause) })
        .where(delivery);
      return;
    }
    counter.inc({ outcome: 'success' });
    await db.delete(table).where(delivery);
  }

  async function deliver(send: Send) {
    const rows = await claim();
    await settleAll(rows.map((row) => attempt(send, row)));
  }

  let delivery: Repeated | undefined;

  return {
    start(send) {
      delivery ??= repeat(deliveryPauseMs, 'logout delivery', () => deliver(send), logger);
    },
    close: async () => delivery?.stop(),
    async add(tx, ended) {
      const rows = ended
        .filter(({ clientId }) => wanting.has(clientId))
        .map(({ clientId, accountId, sid = '' }) => ({
          clientId,
          accountId,
          sealedSid: vault.seal(sid, context(clientId)),
        }));
      if (rows.length > 0) await tx.insert(table).values(rows);
    },
  };
}

const context = (clientId: string) => `logout of ${clientId}`;
