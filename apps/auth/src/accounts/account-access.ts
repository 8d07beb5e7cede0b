import type { Db } from '@gatehouse/service-kit';
import { and, eq, inArray, type SQL } from 'drizzle-orm';
import type { AdapterPayload } from 'oidc-provider';
import type { Vault } from '../protocol/vault.ts';
import type { Revocations } from '../revocation/revocation.ts';
import { accounts, records } from '../schema.ts';

interface Alongside {
  /** What else is to be true exactly when the access has ended; when it throws, nothing has. */
  alongside?: (tx: Db) => Promise<unknown>;
}

/** Ends what an account has given away: at once, in every process, and whatever restarts. */
export interface AccountAccess {
  /**
   * Ends every session, grant, refresh token and access token of an account.
   * @param options.exceptSession the uid of a session that stays, though what it gave to clients ends too
   */
  endAll(accountId: string, options?: Alongside & { exceptSession?: string }): Promise<void>;
  /** Refuses every access token that an account has now; its sessions and refresh tokens go on and get new ones. */
  endAccessTokens(accountId: string, options?: Alongside): Promise<void>;
  /** Ends every grant that an account has given to a client, with its tokens. */
  endGrantsOf(accountId: string, clientId: string): Promise<void>;
}

/** The access of accounts, as the records of oidc-provider and the denylist have it. */
export function createAccountAccess({
  db,
  vault,
  revocations,
}: {
  db: Db;
  vault: Vault;
  revocations: Revocations;
}): AccountAccess {
  const ofAccount = (accountId: string) => eq(records.accountHash, hashAccount(vault, accountId));

  async function endTokens(accountId: string, work: (tx: Db) => Promise<unknown>): Promise<void> {
    const target = { sub: accountId, notBefore: 0 };
    await revocations.revoke(target, async (tx) => {
      await work(tx);
      const isThis = eq(accounts.id, accountId);
      const [account] = await tx.select().from(accounts).where(isThis).for('update');
      // Whoever has read the account before the commit dates a token before this; whoever reads it later, after.
      target.notBefore = Math.max(Math.ceil(Date.now() / 1000), account?.tokensNotBefore ?? 0) + 1;
      await tx.update(accounts).set({ tokensNotBefore: target.notBefore }).where(isThis);
    });
  }

  async function deleteGrants(tx: Db, condition: SQL | undefined): Promise<string[]> {
    const grants = await tx
      .delete(records)
      .where(and(eq(records.model, 'Grant'), condition))
      .returning();
    const ids = grants.map(({ idHash, payload }) => {
      const { jti }: AdapterPayload = JSON.parse(vault.open(payload, `Grant ${idHash}`));
      return String(jti);
    });
    const hashes = ids.map((id) => vault.hash(id, 'grant'));
    await tx.delete(records).where(inArray(records.grantHash, hashes));
    return ids;
  }

  return {
    async endAll(accountId, { exceptSession, alongside } = {}) {
      await endTokens(accountId, async (tx) => {
        await alongside?.(tx);
        await deleteGrants(tx, ofAccount(accountId));
        const kept = exceptSession === undefined ? undefined : vault.hash(exceptSession, 'Session uid');
        const sessions = await tx
          .select({ idHash: records.idHash, uidHash: records.uidHash })
          .from(records)
          .where(and(eq(records.model, 'Session'), ofAccount(accountId)));
        const ended = sessions.filter(({ uidHash }) => uidHash === null || uidHash !== kept);
        const hashes = ended.map(({ idHash }) => idHash);
        await tx.delete(records).where(and(eq(records.model, 'Session'), inArray(records.idHash, hashes)));
      });
    },

    endAccessTokens: (accountId, { alongside } = {}) => endTokens(accountId, async (tx) => alongside?.(tx)),

    async endGrantsOf(accountId, clientId) {
      const ofClient = eq(records.clientHash, vault.hash(clientId, 'client'));
      const grants = await db
        .select()
        .from(records)
        .where(and(eq(records.model, 'Grant'), ofAccount(accountId), ofClient));
      for (const { idHash, payload } of grants) {
        const { jti }: AdapterPayload = JSON.parse(vault.open(payload, `Grant ${idHash}`));
        await revocations.revoke({ gid: String(jti) }, (tx) => deleteGrants(tx, eq(records.idHash, idHash)));
      }
    },
  };
}

/** The columns that tell whose a session or a grant is. */
export function ownerHashes(vault: Vault, model: string, { accountId, clientId }: AdapterPayload) {
  const isGrant = model === 'Grant';
  const isOwned = isGrant || model === 'Session';
  return {
    accountHash: isOwned && accountId ? hashAccount(vault, accountId) : null,
    clientHash: isGrant && clientId ? vault.hash(clientId, 'client') : null,
  };
}

function hashAccount(vault: Vault, accountId: string): string {
  return vault.hash(accountId, 'account');
}
