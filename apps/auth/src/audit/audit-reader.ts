import type { Db } from '@gatehouse/service-kit';
import { and, desc, eq, lt } from 'drizzle-orm';
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
      return rows.map(({ id, at, ...entry }) => ({ ...entry, id: String(id), at: at.toISOString() }));
    },
  };
}
