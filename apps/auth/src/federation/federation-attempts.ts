import type { Db } from '@gatehouse/service-kit';
import { and, eq, gt } from 'drizzle-orm';
import type { Vault } from '../protocol/vault.ts';
import { records } from '../schema.ts';

/** A sign-in at the provider that is under way. */
export interface FederationAttempt {
  interactionUid: string;
  codeVerifier: string;
  nonce: string;
  demandFresh: boolean;
  /** In seconds. */
  startedAt: number;
}

export interface FederationAttempts {
  add(state: string, attempt: FederationAttempt): Promise<void>;
  /** The attempt with this state, for the first who asks; undefined for everybody after, and when it is too old. */
  take(state: string): Promise<FederationAttempt | undefined>;
}

const model = 'FederationAttempt';
const lifetimeMs = 15 * 60_000;

/** Attempts beside what oidc-provider keeps: found by a keyed hash, sealed, and deleted when they expire. */
export function createFederationAttempts(db: Db, vault: Vault): FederationAttempts {
  return {
    async add(state, attempt) {
      const idHash = vault.hash(state, model);
      const payload = vault.seal(JSON.stringify(attempt), `${model} ${idHash}`);
      await db
        .insert(records)
        .values({ model, idHash, payload, expiresAt: new Date(Date.now() + lifetimeMs) });
    },

    async take(state) {
      const idHash = vault.hash(state, model);
      const [row] = await db
        .delete(records)
        .where(and(eq(records.model, model), eq(records.idHash, idHash), gt(records.expiresAt, new Date())))
        .returning({ payload: records.payload });
      return row && JSON.parse(vault.open(row.payload, `${model} ${idHash}`));
    },
  };
}
