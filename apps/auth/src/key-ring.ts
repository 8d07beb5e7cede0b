import type { Db, Logger } from '@gatehouse/service-kit';
import type { JWK } from 'jose';
import { isDue, type KnownKeys, openKey, readKeys, retire, rotateKeys, stagesAt } from './keys.ts';
import { repeat } from './repeat.ts';
import type { Vault } from './vault.ts';

/** The keys that tokens are signed with at this moment, the same in every process on one database. */
export interface KeyRing {
  /** All that are published, the signing one first: the same array until they change. */
  current(): readonly JWK[];
  close(): Promise<void>;
}

const pollMs = 1000;

/** Follows the keys in the database, makes the next one when the newest is old, and lets go of those without tokens. */
export async function openKeyRing({
  db,
  vault,
  logger,
  rotationDays,
  publishSeconds,
}: {
  db: Db;
  vault: Vault;
  logger: Logger;
  rotationDays: number;
  publishSeconds: number;
}): Promise<KeyRing> {
  let opened = new Map<string, JWK>();
  let known = remember(await readKeys(db, vault));
  let served: { kids: string; keys: readonly JWK[] } | undefined;

  function remember(read: KnownKeys): KnownKeys {
    opened = new Map(read.rows.map((row) => [row.kid, opened.get(row.kid) ?? openKey(row, vault)]));
    return read;
  }

  // By our own clock, so that keys change in time although the database is away.
  const stages = () => stagesAt(Date.now() + known.clockAheadMs, known.rows);

  async function poll() {
    known = remember(await readKeys(db, vault));
    for (const { row, stage } of stages()) {
      if (stage !== 'removed') continue;
      await retire(db, row.kid);
      logger.info({ kid: row.kid }, 'a retired signing key is gone');
    }
    if (!isDue(known, rotationDays)) return;
    const kid = await rotateKeys(db, vault, { publishSeconds, minAgeDays: rotationDays });
    logger.info({ kid }, 'a new signing key is published');
  }

  const polling = repeat(pollMs, 'signing keys', poll, logger);
  return {
    current() {
      const rows = stages().flatMap(({ row, stage }) => (stage === 'removed' ? [] : [row]));
      const kids = rows.map(({ kid }) => kid).join(' ');
      if (served?.kids !== kids) {
        served = { kids, keys: rows.flatMap(({ kid }) => opened.get(kid) ?? []) };
      }
      return served.keys;
    },
    close: () => polling.stop(),
  };
}
