import type { IncomingMessage } from 'node:http';
import { type Db, type PageQuery, Problem, selectPage } from '@gatehouse/service-kit';
import { eq, inArray } from 'drizzle-orm';
import type { AuditEventName, AuditLog } from '../audit/audit-log.ts';
import { accounts } from '../schema.ts';
import type { AccountAccess } from './account-access.ts';
import { type Account, epochSeconds, toAccount } from './accounts.ts';

/** Who does something to whose account, and by which request. */
export interface Act {
  accountId: string;
  actorId: string;
  clientId: string;
  req: IncomingMessage;
}

/**
 * What administrators do to accounts. Every act is one transaction with the end of the account's access and with its
 * record, and can be repeated: one that fails with 503 may be done already.
 */
export interface AccountAdmin {
  /** All accounts, the newest first. */
  list(page: PageQuery): Promise<{ items: Account[]; next: string | null }>;
  /** Nobody signs in to the account any more, and whoever has is signed out everywhere. */
  disable(act: Act): Promise<void>;
  enable(act: Act): Promise<void>;
  /** The account has these roles and no others; its access tokens end, and the next ones tell the new roles. */
  setRoles(act: Act, roles: readonly string[]): Promise<void>;
  /** Signs the account out everywhere. */
  signOut(act: Act): Promise<void>;
}

/** @throws Problem 403 from every act of somebody who is no administrator now, 404 for an unknown account, 409 */
export function createAccountAdmin({
  db,
  access,
  audit,
}: {
  db: Db;
  access: AccountAccess;
  audit: AuditLog;
}): AccountAdmin {
  /** The change and its record, if the actor may do this now. */
  function changing(
    { accountId, actorId, clientId, req }: Act,
    event: AuditEventName,
    change: Partial<typeof accounts.$inferSelect> = {},
    detail = {},
  ) {
    return async (tx: Db) => {
      // Locked in one order, so that of two administrators who disable each other, the second finds himself disabled.
      const rows = await tx
        .select()
        .from(accounts)
        .where(inArray(accounts.id, [actorId, accountId]))
        .orderBy(accounts.id)
        .for('update');
      const actor = rows.find(({ id }) => id === actorId);
      if (!actor?.roles.includes('admin') || actor.disabledAt) {
        throw new Problem(403, 'This needs a role that the caller does not have');
      }
      const account = rows.find(({ id }) => id === accountId);
      if (!account) throw new Problem(404, 'No such account');
      const next = { ...account, ...change };
      // So there is always an administrator left.
      if (account === actor && (next.disabledAt || !next.roles.includes('admin'))) {
        throw new Problem(409, 'Another administrator has to do this to your account');
      }
      if (Object.keys(change).length > 0) {
        await tx.update(accounts).set(change).where(eq(accounts.id, accountId));
      }
      await audit.record({ event, outcome: 'success', accountId, actorId, clientId, detail }, req, tx);
    };
  }

  return {
    async list(page) {
      const readAt = epochSeconds();
      const { items, next } = await selectPage(db, accounts, page);
      return { items: items.map((row) => toAccount(row, readAt)), next };
    },

    async disable(act) {
      const alongside = changing(act, 'account-disable', { disabledAt: new Date() });
      await access.endAll(act.accountId, { alongside });
    },

    enable: (act) => db.transaction(changing(act, 'account-enable', { disabledAt: null })),

    setRoles: (act, roles) => {
      const alongside = changing(act, 'roles-change', { roles: [...roles] }, { roles });
      return access.endAccessTokens(act.accountId, { alongside });
    },

    async signOut(act) {
      const alongside = changing(act, 'admin-sign-out');
      await access.endAll(act.accountId, { alongside, changesNothing: true });
    },
  };
}
