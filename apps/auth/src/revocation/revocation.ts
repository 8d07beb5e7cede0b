import type { DenylistWriter, Revocation, TokenReference } from '@gatehouse/denylist';
import { type Db, type Logger, repeat } from '@gatehouse/service-kit';
import { and, asc, desc, eq, gt, inArray, isNull, or, type SQL, sql } from 'drizzle-orm';
import { lifetimes } from '../protocol/scopes.ts';
import { revocations as table } from '../schema.ts';

/** What is to be revoked: a token, every token of a grant, or what a subject was issued before a moment (epoch seconds). */
export type Target = { jti: string } | { gid: string } | { sub: string; notBefore: number };

/** An entry as administrators see it; what it names is an id, never a token. */
export type RevokedEntry = Pick<Row, 'kind' | 'value' | 'expiresAt'>;

export interface Revocations {
  /**
   * Durable and on the denylist once this resolves.
   * @param alongside what else is to be true exactly when the revocation is durable
   * @throws when either did not take it; what only the denylist missed reaches it later, without being asked again
   */
  revoke(target: Target, alongside?: (transaction: Db) => Promise<unknown>): Promise<void>;
  /** The same, of all that `work` finds to revoke in its transaction. */
  revokeAll(work: (transaction: Db) => Promise<readonly Target[]>): Promise<void>;
  /** Asks the durable list, which is right even while the denylist is away. */
  isRevoked(token: TokenReference): Promise<boolean>;
  /** What is revoked and has not expired by itself: how many entries, and the newest of them. */
  list(limit: number): Promise<{ size: number; newest: RevokedEntry[] }>;
  /** Brings to the denylist whatever it lacks; also done twice a second until `close`. */
  deliver(): Promise<void>;
  /** How many seconds ago the denylist was last seen to have all that is revoked. */
  deliveryAge(): number;
  close(): Promise<void>;
}

type Row = typeof table.$inferSelect;

const deliveryPauseMs = 500;
const batchSize = 500;
// Services allow clocks to differ, so a token may live a little longer than its exp.
const clockToleranceSeconds = 60;

/** The outbox of the denylist: a revocation is first a row here, then an entry there. */
export function createRevocations({
  db,
  denylist,
  logger,
}: {
  db: Db;
  denylist: DenylistWriter;
  logger: Logger;
}): Revocations {
  const unexpired = () => gt(table.expiresAt, sql`now()`);

  async function send(rows: readonly Row[]) {
    await denylist.append(rows.map(toRevocation));
    const ids = rows.map(({ id }) => id);
    await db.update(table).set({ deliveredAt: new Date() }).where(inArray(table.id, ids));
  }

  async function sendAll(condition: SQL | undefined) {
    let last = 0;
    for (;;) {
      const rows = await db
        .select()
        .from(table)
        .where(and(gt(table.id, last), unexpired(), condition))
        .orderBy(asc(table.id))
        .limit(batchSize);
      const newest = rows.at(-1);
      if (newest === undefined) return;
      await send(rows);
      last = newest.id;
    }
  }

  let deliveredAt = performance.now();

  async function deliver() {
    const startedAt = performance.now();
    if (await denylist.isComplete()) {
      await sendAll(isNull(table.deliveredAt));
    } else {
      // The denylist is new or has lost its data: nothing may trust it before it has everything again.
      await sendAll(undefined);
      await denylist.markComplete();
    }
    deliveredAt = startedAt;
  }

  const delivery = repeat(deliveryPauseMs, 'denylist delivery', deliver, logger);

  async function revokeAll(work: (transaction: Db) => Promise<readonly Target[]>): Promise<void> {
    // Tokens are dated by our clock, and rows are read by the database's: the later of the two counts. One that is far ahead must
    // not: the log takes nothing that outlives its window, and this row would keep all others from it.
    const latest = sql`least(greatest(now(), ${new Date().toISOString()}::timestamptz), now() + interval '45 minutes')`;
    const lifetime = lifetimes.accessToken + clockToleranceSeconds;
    const expiresAt = sql<Date>`${latest} + make_interval(secs => ${lifetime})`;
    const rows = await db.transaction(async (tx) => {
      const values = (await work(tx)).map((target) => ({ ...toRow(target), expiresAt }));
      const stored: Row[] = [];
      for (let start = 0; start < values.length; start += batchSize) {
        const batch = values.slice(start, start + batchSize);
        stored.push(...(await tx.insert(table).values(batch).returning()));
      }
      return stored;
    });
    for (let start = 0; start < rows.length; start += batchSize)
      await send(rows.slice(start, start + batchSize));
  }

  return {
    deliver,
    deliveryAge: () => (performance.now() - deliveredAt) / 1000,
    close: () => delivery.stop(),
    revokeAll,
    revoke: (target, alongside) =>
      revokeAll(async (tx) => {
        await alongside?.(tx);
        return [target];
      }),
    async isRevoked({ jti, gid, sub, iat }) {
      const names = or(
        and(eq(table.value, jti), eq(table.kind, 'jti')),
        gid === undefined ? undefined : and(eq(table.value, gid), eq(table.kind, 'gid')),
        and(eq(table.value, sub), eq(table.kind, 'sub'), gt(table.notBefore, iat)),
      );
      const found = await db.select({ id: table.id }).from(table).where(and(names, unexpired())).limit(1);
      return found.length > 0;
    },

    async list(limit) {
      const size = await db.$count(table, unexpired());
      const { kind, value, expiresAt } = table;
      const shown = { kind, value, expiresAt };
      const newest = await db
        .select(shown)
        .from(table)
        .where(unexpired())
        .orderBy(desc(table.id))
        .limit(limit);
      return { size, newest };
    },
  };
}

function toRow(target: Target): Pick<Row, 'kind' | 'value'> & { notBefore?: number } {
  if ('jti' in target) return { kind: 'jti', value: target.jti };
  if ('gid' in target) return { kind: 'gid', value: target.gid };
  return { kind: 'sub', value: target.sub, notBefore: target.notBefore };
}

function toRevocation({ kind, value, notBefore, expiresAt }: Row): Revocation {
  const exp = Math.ceil(expiresAt.getTime() / 1000);
  if (kind === 'jti') return { jti: value, exp };
  if (kind === 'gid') return { gid: value, exp };
  return { sub: value, notBefore: notBefore ?? 0, exp };
}
