import { type Db, type Logger, repeat } from '@gatehouse/service-kit';
import type { JWK } from 'jose';
import type { Vault } from '../protocol/vault.ts';
import { isDue, type KnownKeys, openKey, readKeys, retireOver, rotateKeys, stagesAt } from './keys.ts';

/** The keys of one moment, with their private parts. */
export interface ServedKeys {
  /** The signing one first. */
  published: readonly JWK[];
  /** No longer published: what they signed is worth nothing but as a hint who was signed in. */
  remembered: readonly JWK[];
}

/** The keys that tokens are signed with, the same in every process on one database. */
export interface KeyRing {
  /** The same object until the keys change. */
  current(): ServedKeys;
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
  onChange = () => {},
}: {
  db: Db;
  vault: Vault;
  logger: Logger;
  rotationDays: number;
  publishSeconds: number;
  /** Told of each change that this process makes. */
  onChange?: (event: 'key-rotation' | 'key-removal') => void;
}): Promise<KeyRing> {
  let opened = new Map<string, JWK>();
  let known = remember(await readKeys(db, vault));
  let served: { name: string; keys: ServedKeys } | undefined;

  function remember(read: KnownKeys): KnownKeys {
    opened = new Map(read.rows.map((row) => [row.kid, opened.get(row.kid) ?? openKey(row, vault)]));
    return read;
  }

  // By our own clock, so that keys change in time although the database is away.
  const stages = () => stagesAt(Date.now() + known.clockAheadMs, known.rows);

  async function poll() {
    known = remember(await readKeys(db, vault));
    for (const { row, isOver } of stages()) {
      if (!isOver) continue;
      if (!(await retireOver(db, row.kid))) continue;
      onChange('key-removal');
      logger.info({ kid: row.kid }, 'a retired signing key is gone');
    }
    if (!isDue(known, rotationDays)) return;
    const kid = await rotateKeys(db, vault, { publishSeconds, minAgeDays: rotationDays });
    onChange('key-rotation');
    logger.info({ kid }, 'a new signing key is published');
  }

  const polling = repeat(pollMs, 'signing keys', poll, logger);
  return {
    current() {
      const states = stages().filter(({ isOver }) => !isOver);
      const name = states.map(({ row, stage }) => `${row.kid} ${stage === 'removed'}`).join();
      if (served?.name !== name) {
        const keysOf = (isRemoved: boolean) =>
          states.flatMap(({ row, stage }) =>
            (stage === 'removed') === isRemoved ? (opened.get(row.kid) ?? []) : [],
          );
        served = { name, keys: { published: keysOf(false), remembered: keysOf(true) } };
      }
      return served.keys;
    },
    close: () => polling.stop(),
  };
}
