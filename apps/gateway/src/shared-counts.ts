import { type Count, createLocalCounts } from '@gatehouse/rate-limits';
import type { createRedisClient } from '@gatehouse/redis';
import { settleAll } from '@gatehouse/service-kit/core';
import { RateLimiterRedis } from 'rate-limiter-flexible';

export interface SharedCounts {
  /** Counts `key` once more, in this process alone; what is too many is not counted. */
  take(key: string): { counted: Count; isOver: boolean };
  /** Tells the others what was counted here, and learns what they have counted. Rejects when Redis does not answer. */
  share(): Promise<void>;
}

const mostKeys = 20_000;
// A key below this part of its bound is nobody else's business: in up to twenty processes it is below the bound in all.
const worthSharing = 1 / 20;
const mostKeysUntold = 1_000;

/**
 * Counts in this process, and shares the counts that matter with other processes through `redis`: a request never waits
 * for it. Without `redis`, or while it is away, each process counts alone.
 */
export function createSharedCounts(
  { name, most, windowSeconds }: { name: string; most: number; windowSeconds: number },
  redis: ReturnType<typeof createRedisClient> | undefined,
): SharedCounts {
  const local = createLocalCounts(windowSeconds * 1000, mostKeys);
  const shared =
    redis &&
    new RateLimiterRedis({
      storeClient: redis,
      keyPrefix: `gatehouse:rate:${name}`,
      points: most,
      duration: windowSeconds,
    });
  /** What has been counted since the others were told. When it is full, a key has to come once more. */
  const untold = new Map<string, Count>();
  /** How much of a count the others know of. */
  const told = new WeakMap<Count, number>();

  async function tell(key: string, counted: Count): Promise<void> {
    const { count } = counted;
    const news = count - (told.get(counted) ?? 0);
    const leftMs = counted.endsAt - performance.now();
    if (leftMs <= 0 || news <= 0) return;
    // Told at most once: a bound may be a little high, but nobody is refused for what was counted twice.
    told.set(counted, count);
    const reply = await shared?.penalty(key, news, { customDuration: Math.ceil(leftMs / 1000) });
    if (reply === undefined) return;
    const ofOthers = Math.max(0, reply.consumedPoints - count);
    counted.count += ofOthers;
    told.set(counted, count + ofOthers);
    counted.endsAt = performance.now() + reply.msBeforeNext;
  }

  return {
    take(key) {
      const { counted } = local.add(key);
      const isOver = counted.count > most;
      if (isOver) counted.count -= 1;
      else if (counted.count >= most * worthSharing && untold.size < mostKeysUntold) untold.set(key, counted);
      return { counted, isOver };
    },
    async share() {
      if (redis?.status !== 'ready') throw new Error('Redis is not connected');
      const telling = Array.from(untold, ([key, counted]) => tell(key, counted));
      untold.clear();
      await settleAll(telling);
    },
  };
}
