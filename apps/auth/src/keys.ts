import type { Db } from '@gatehouse/service-kit';
import { desc, sql } from 'drizzle-orm';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { signingKeys } from './schema.ts';
import type { Vault } from './vault.ts';

/**
 * The private keys that sign tokens, the newest first; the first process ever to ask makes the first key.
 * @throws Error with one plain line when the vault's key is not the one that sealed them
 */
export function loadSigningKeys(db: Db, vault: Vault): Promise<JWK[]> {
  return db.transaction(async (tx) => {
    // Processes that start together must not each make a key.
    await tx.execute(sql`lock table ${signingKeys} in share row exclusive mode`);
    const rows = await tx.select().from(signingKeys).orderBy(desc(signingKeys.createdAt));
    if (rows.length > 0)
      return rows.map(({ kid, sealedPrivateJwk }) => openKey(kid, sealedPrivateJwk, vault));
    const { privateJwk, publicJwk, kid } = await createKey();
    const sealedPrivateJwk = vault.seal(JSON.stringify(privateJwk), contextOf(kid));
    await tx.insert(signingKeys).values({ kid, publicJwk, sealedPrivateJwk });
    return [privateJwk];
  });
}

const contextOf = (kid: string) => `signing key ${kid}`;

function openKey(kid: string, sealed: string, vault: Vault): JWK {
  try {
    return JSON.parse(vault.open(sealed, contextOf(kid)));
  } catch (error) {
    throw new Error('ENCRYPTION_KEY does not open the signing keys in the database', { cause: error });
  }
}

async function createKey() {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  // RFC 7638: a key's name follows from the key.
  const kid = await calculateJwkThumbprint(jwk);
  const named = { kid, alg: 'ES256', use: 'sig' };
  return { kid, publicJwk: { ...jwk, ...named }, privateJwk: { ...(await exportJWK(privateKey)), ...named } };
}

/** What others need to verify with this key, and no more. */
export function publicPart({ kty, crv, x, y, kid, alg, use }: JWK): JWK {
  return { kty, crv, x, y, kid, alg, use } as JWK;
}
