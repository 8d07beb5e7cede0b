import type { Db } from '@gatehouse/service-kit';
import { and, eq } from 'drizzle-orm';
import type { Vault } from '../protocol/vault.ts';
import { records } from '../schema.ts';

/**
 * Which tokens were exchanged for a token that had been exchanged itself. All of them carry the gid of the first one,
 * whose end is the end of all; but one in the middle ends by its jti, and its descendants must then be known by theirs.
 */
export interface ExchangedTokens {
  remember(exchanged: { jti: string; from: string; expiresIn: number }): Promise<void>;
  /** The jtis of what this token was directly exchanged for. */
  from(jti: string): Promise<string[]>;
}

const model = 'ExchangedToken';

/** Kept among the records of oidc-provider, sealed like these and deleted when they expire. */
export function createExchangedTokens(db: Db, vault: Vault): ExchangedTokens {
  const hashSource = (jti: string) => vault.hash(jti, `${model} source`);
  const context = (idHash: string) => `${model} ${idHash}`;
  return {
    async remember({ jti, from, expiresIn }) {
      const idHash = vault.hash(jti, model);
      await db.insert(records).values({
        model,
        idHash,
        uidHash: hashSource(from),
        payload: vault.seal(jti, context(idHash)),
        expiresAt: new Date(Date.now() + expiresIn * 1000),
      });
    },

    async from(jti) {
      const found = await db
        .select({ idHash: records.idHash, payload: records.payload })
        .from(records)
        .where(and(eq(records.model, model), eq(records.uidHash, hashSource(jti))));
      return found.map(({ idHash, payload }) => vault.open(payload, context(idHash)));
    },
  };
}
