import type { Db } from '@gatehouse/service-kit';
import { and, eq, inArray, type SQL } from 'drizzle-orm';
import type { AdapterPayload } from 'oidc-provider';
import { records } from '../schema.ts';
import type { Vault } from './vault.ts';

/** The columns that tell whose a session or a grant is. */
export function ownerHashes(vault: Vault, model: string, { accountId, clientId }: AdapterPayload) {
  const isGrant = model === 'Grant';
  const isOwned = isGrant || model === 'Session';
  return {
    accountHash: isOwned && accountId ? vault.hash(accountId, 'account') : null,
    clientHash: isGrant && clientId ? vault.hash(clientId, 'client') : null,
  };
}

/** Deletes grants with what was issued by them. */
export async function deleteGrants(tx: Db, vault: Vault, ids: readonly string[]): Promise<void> {
  const hashes = (context: string) => ids.map((id) => vault.hash(id, context));
  // The grants first: whoever is storing a refresh token of one is waited for, or finds it gone.
  await tx.delete(records).where(and(eq(records.model, 'Grant'), inArray(records.idHash, hashes('Grant'))));
  await tx.delete(records).where(inArray(records.grantHash, hashes('grant')));
}

const batchSize = 500;

/** Deletes the sessions or grants of an account that meet the condition, a batch at a time, and tells what was in them. */
export async function* deleteOwned(
  tx: Db,
  vault: Vault,
  model: 'Session' | 'Grant',
  accountId: string,
  condition?: SQL,
): AsyncGenerator<AdapterPayload[]> {
  const ofAccount = eq(records.accountHash, vault.hash(accountId, 'account'));
  const isMeant = and(eq(records.model, model), ofAccount, condition);
  for (;;) {
    const batch = tx.select({ idHash: records.idHash }).from(records).where(isMeant).limit(batchSize);
    const rows = await tx
      .delete(records)
      .where(and(eq(records.model, model), inArray(records.idHash, batch)))
      .returning();
    yield rows.map(({ idHash, payload }) => JSON.parse(vault.open(payload, `${model} ${idHash}`)));
    if (rows.length < batchSize) return;
  }
}
