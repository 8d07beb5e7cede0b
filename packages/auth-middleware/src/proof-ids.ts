import { createRedisClient, requestDeadlines } from '@gatehouse/redis';

/** How long an id is remembered: longer than any replica, its clock five seconds off, takes the proof. */
const proofIdLifetimeMs = 80_000;

/** The ids of DPoP proofs that were used, so that each proof is good once (RFC 9449, 11.1). */
export interface ProofIds {
  /**
   * Remembers `id` for `proofIdLifetimeMs` and tells whether it was new.
   * @throws ProofIdsUnavailable when that cannot be told now
   */
  add(id: string): Promise<boolean>;
  close(): void;
}

/** Whether a proof was used before cannot be told: nobody may pass on it. */
export class ProofIdsUnavailable extends Error {
  override readonly name = 'ProofIdsUnavailable';
}

/**
 * Ids in Redis, shared by all replicas of one verifier. A Redis that is away, frozen, full or read-only makes a call
 * fail within about 150 milliseconds.
 * @param verifier whose ids: a gateway and the service behind it both see the same proof, and each takes it once
 */
export function createRedisProofIds({ url, verifier }: { url: string; verifier: string }): ProofIds {
  const redis = createRedisClient(url, requestDeadlines);
  return {
    async add(id) {
      try {
        const key = `gatehouse:proof:${verifier}:${id}`;
        return (await redis.set(key, '', 'PX', proofIdLifetimeMs, 'NX')) === 'OK';
      } catch (cause) {
        throw new ProofIdsUnavailable('the proof ids in Redis do not answer', { cause });
      }
    },
    close: () => redis.disconnect(),
  };
}

/**
 * Ids in the memory of this process, for a verifier that has no replicas. What can still be replayed is never
 * forgotten: with `capacity` of them, further ones are refused until some have expired.
 */
export function createMemoryProofIds({ capacity = 100_000 }: { capacity?: number } = {}): ProofIds {
  // In the order of insertion, which is that of expiry.
  const expiries = new Map<string, number>();
  return {
    async add(id) {
      const now = performance.now();
      for (const [oldest, expiresAt] of expiries) {
        if (expiresAt > now) break;
        expiries.delete(oldest);
      }
      if (expiries.has(id)) return false;
      if (expiries.size >= capacity) throw new ProofIdsUnavailable('too many proofs in too short a time');
      expiries.set(id, now + proofIdLifetimeMs);
      return true;
    },
    close: () => expiries.clear(),
  };
}
