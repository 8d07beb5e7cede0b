import type { Db } from '@gatehouse/service-kit';
import { and, asc, desc, eq, gt, lt, sql } from 'drizzle-orm';
import { auditEvents } from '../schema.ts';

/** One line of the record, as an administrator reads it. */
export type AuditEntry = Omit<typeof auditEvents.$inferSelect, 'id' | 'at'> & { id: string; at: string };

export interface AuditReader {
  /**
   * What concerns an account, the newest first.
   * @param page.cursor the id of the last entry of the page before
   */
  listForAccount(
    accountId: string,
    page: { limit: number; cursor?: string | undefined },
  ): Promise<AuditEntry[]>;
  /** What came after an entry, the oldest first, up to where one may yet come before another. */
  listAfter(id: string, limit: number): Promise<AuditEntry[]>;
  /** The newest entries of all accounts, the newest first. */
  listNewest(limit: number): Promise<AuditEntry[]>;
}

/** Reads the record. */
export function createAuditReader(db: Db): AuditReader {
  return {
    async listForAccount(accountId, { limit, cursor }) {
      const older = cursor === undefined ? undefined : lt(auditEvents.id, Number(cursor));
      const rows = await db
        .select()
        .from(auditEvents)
        .where(and(eq(auditEvents.accountId, accountId), older))
        .orderBy(desc(auditEvents.id))
        .limit(limit);
      return rows.map(toEntry);
    },

    async listAfter(id, limit) {
      // Whoever is writing now may have an older id than what is there already. To be asked first: an entry that comes in
      // between must not be taken for one that was there.
      const [settled] = await db
        .select({ at: sql<string>`least(now() - interval '1 second', min(xact_start))::text` })
        .from(sql`pg_stat_activity`)
        .where(sql`datname = current_database() and backend_xid is not null`);
      const isSettled = lt(auditEvents.at, sql`${settled?.at}::timestamptz`);
      const rows = await db
        .select()
        .from(auditEvents)
        .where(and(gt(auditEvents.id, Number(id)), isSettled))
        .orderBy(asc(auditEvents.id))
        .limit(limit);
      return rows.map(toEntry);
    },

    async listNewest(limit) {
      const rows = await db.select().from(auditEvents).orderBy(desc(auditEvents.id)).limit(limit);
      return rows.map(toEntry);
    },
  };
}

function toEntry({ id, at, ...entry }: typeof auditEvents.$inferSelect): AuditEntry {
  return { ...entry, id: String(id), at: at.toISOString() };
}
