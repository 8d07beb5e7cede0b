import type { Db } from '@gatehouse/service-kit';
import { and, asc, eq, getTableColumns, type SQL, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import { consents } from '../schema.ts';

/** What a client may have of an account. */
export interface AllowedScopes {
  openidScopes: string[];
  apiScopes: string[];
}

export interface Consent extends AllowedScopes {
  clientId: string;
  createdAt: Date;
  updatedAt: Date;
}

export interface ConsentStore {
  /**
   * What the account has allowed the client so far.
   * @param options.isSettled waits for a withdrawal that is under way
   */
  find(
    accountId: string,
    clientId: string,
    options?: { isSettled?: boolean },
  ): Promise<AllowedScopes | undefined>;
  /** Adds to what the account has allowed the client. */
  remember(accountId: string, clientId: string, allowed: Readonly<AllowedScopes>): Promise<void>;
  /** Every client that the account has allowed something, the oldest first. */
  list(accountId: string): Promise<Consent[]>;
  /** The client is asked about again, once `tx` is committed, which ends what it has already: after this, never before. */
  forget(tx: Db, accountId: string, clientId: string): Promise<void>;
}

/** What accounts have allowed, whatever browser they did it in. */
export function createConsentStore(db: Db): ConsentStore {
  const of = (accountId: string, clientId: string) =>
    and(eq(consents.accountId, accountId), eq(consents.clientId, clientId));

  return {
    async find(accountId, clientId, { isSettled = false } = {}) {
      const found = db
        .select({ openidScopes: consents.openidScopes, apiScopes: consents.apiScopes })
        .from(consents)
        .where(of(accountId, clientId));
      const [row] = await (isSettled ? found.for('key share') : found);
      return row;
    },

    async remember(accountId, clientId, { openidScopes, apiScopes }) {
      const set = {
        openidScopes: union(consents.openidScopes, sql`excluded.openid_scopes`),
        apiScopes: union(consents.apiScopes, sql`excluded.api_scopes`),
        updatedAt: new Date(),
      };
      await db
        .insert(consents)
        .values({ accountId, clientId, openidScopes, apiScopes })
        .onConflictDoUpdate({ target: [consents.accountId, consents.clientId], set });
    },

    async list(accountId) {
      const { accountId: _, ...shown } = getTableColumns(consents);
      return db
        .select(shown)
        .from(consents)
        .where(eq(consents.accountId, accountId))
        .orderBy(asc(consents.createdAt), asc(consents.clientId));
    },

    async forget(tx, accountId, clientId) {
      await tx.delete(consents).where(of(accountId, clientId));
    },
  };
}

// One statement, so that of two pages that are answered at once neither loses what the other one got.
function union(known: PgColumn, added: SQL): SQL {
  return sql`array(select distinct unnest(${known} || ${added}) order by 1)`;
}
