import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '@gatehouse/service-kit';
import { eq, inArray, type SQL, sql } from 'drizzle-orm';
import { deleteOwned } from '../protocol/owned-records.ts';
import type { Vault } from '../protocol/vault.ts';
import type { Revocations } from '../revocation/revocation.ts';
import { accounts, records } from '../schema.ts';
import type { Sessions } from '../sessions/sessions.ts';

interface Alongside {
  /** What else is to be true exactly when the access has ended; when it throws, nothing has. */
  alongside?: (tx: Db) => Promise<unknown>;
}

/** Ends what an account has given away: at once, in every process, and whatever restarts. */
export interface AccountAccess {
  /**
   * Ends every session, grant, refresh token and access token of an account.
   * @param options.changesNothing the account stays as it is, so that of several such ends at once one is all
   * @returns from when on a sign-in counts, in epoch seconds
   */
  endAll(accountId: string, options?: Alongside & { changesNothing?: boolean }): Promise<number>;
  /** Refuses every access token that an account has now; its sessions and refresh tokens go on and get new ones. */
  endAccessTokens(accountId: string, options?: Alongside): Promise<void>;
  /** Ends every grant that an account has given to a client, with its tokens. */
  endGrantsOf(accountId: string, clientId: string, options?: Alongside): Promise<void>;
}

// Services allow clocks to differ by 5 s.
const furthestAheadMs = 3_000;

const mostWrongMs = 60_000;

// Our clock dates the tokens, so it dates their end too, but for one that is wrong: accounts would be locked out until that date.
const trustedMs = (databaseMs: number) =>
  Math.min(Math.max(Date.now(), databaseMs - mostWrongMs), databaseMs + mostWrongMs);

/** The access of accounts, as the records of oidc-provider and the denylist have it. */
export function createAccountAccess({
  db,
  vault,
  revocations,
  sessions,
}: {
  db: Db;
  vault: Vault;
  revocations: Revocations;
  sessions: Sessions;
}): AccountAccess {
  /** What an account was issued until now, and what `work` ends besides. */
  async function endTokens(
    accountId: string,
    { alongside, changesNothing }: Alongside & { changesNothing?: boolean },
    work: (tx: Db, notBefore: number) => Promise<readonly string[]> = async () => [],
  ): Promise<number> {
    const isThis = eq(accounts.id, accountId);
    const [known] = await db.select().from(accounts).where(isThis);
    // Each end of access is dated after the one before, so many in a row take their time; but none waits for a crowd.
    const msTooFar = (known?.tokensNotBefore ?? 0) * 1000 - furthestAheadMs - Date.now();
    if (msTooFar > 0) await delay(Math.min(msTooFar, 1_000));
    let notBefore = 0;
    await revocations.revokeAll(async (tx) => {
      await alongside?.(tx);
      const clock = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::float8`;
      const [account] = await tx
        .select({ tokensNotBefore: accounts.tokensNotBefore, clock })
        .from(accounts)
        .where(isThis)
        .for('update');
      const now = trustedMs(account?.clock ?? Date.now());
      const last = account?.tokensNotBefore ?? 0;
      // Another end since this one began: what came after that and is there now goes by its grant. A date for each of a
      // crowd would be further ahead than services take.
      const isDated = changesNothing && last > (known?.tokensNotBefore ?? 0);
      // Whoever has read the account before the commit dates a token before this; whoever reads it later, after.
      notBefore = isDated ? last : Math.max(Math.ceil(now / 1000), last) + 1;
      await tx.update(accounts).set({ tokensNotBefore: notBefore }).where(isThis);
      const gids = await work(tx, notBefore);
      return [{ sub: accountId, notBefore }, ...gids.map((gid) => ({ gid }))];
    });
    return notBefore;
  }

  async function deleteGrants(tx: Db, accountId: string, condition?: SQL): Promise<string[]> {
    const ids: string[] = [];
    for await (const grants of deleteOwned(tx, vault, 'Grant', accountId, condition)) {
      const found = grants.map(({ jti }) => String(jti));
      const hashes = found.map((id) => vault.hash(id, 'grant'));
      await tx.delete(records).where(inArray(records.grantHash, hashes));
      ids.push(...found);
    }
    return ids;
  }

  return {
    endAll: (accountId, options = {}) =>
      endTokens(accountId, options, async (tx, notBefore) => {
        await sessions.endAll(tx, accountId, notBefore);
        // Each by its id as well: a request that has read its grant before may yet sign a token, however late.
        return deleteGrants(tx, accountId);
      }),

    async endAccessTokens(accountId, options = {}) {
      await endTokens(accountId, options);
    },

    async endGrantsOf(accountId, clientId, { alongside } = {}) {
      const ofClient = eq(records.clientHash, vault.hash(clientId, 'client'));
      await revocations.revokeAll(async (tx) => {
        await alongside?.(tx);
        const gids = await deleteGrants(tx, accountId, ofClient);
        return gids.map((gid) => ({ gid }));
      });
    },
  };
}
