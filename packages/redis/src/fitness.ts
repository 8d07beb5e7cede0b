import type { Redis } from 'ioredis';

/** A Redis that is there and must not be relied on as it is set up: waiting does not mend that. */
export class RedisUnfit extends Error {
  override readonly name = 'RedisUnfit';
}

/**
 * That Redis takes what it is told and forgets none of it by itself.
 * @throws RedisUnfit when it evicts, is a replica, or does not let us in; what else is thrown says that it is away
 */
export async function requireFit(redis: Redis): Promise<void> {
  const info = await redis.info().catch((error) => {
    throw isRefusal(error) ? unfit(error) : error;
  });
  const setting = (name: string) => new RegExp(`^${name}:([\\w-]+)`, 'm').exec(info)?.[1];
  const policy = setting('maxmemory_policy') ?? 'noeviction';
  if (policy !== 'noeviction') {
    throw new RedisUnfit(`maxmemory-policy of Redis must be noeviction, and is ${policy}`);
  }
  if (setting('role') === 'slave') throw new RedisUnfit('Redis must be a primary, and is a replica');
}

/** A check for readiness that fails while Redis is unfit; one that is away passes, since that is no fault of its settings. */
export function createFitnessCheck(redis: Redis): () => Promise<void> {
  let refused: Error | undefined;
  redis.on('error', (error) => {
    if (isRefusal(error)) refused = error;
  });
  redis.on('ready', () => {
    refused = undefined;
  });
  return async () => {
    if (refused) throw unfit(refused);
    await requireFit(redis).catch((error) => {
      if (error instanceof RedisUnfit) throw error;
    });
  };
}

function isRefusal(error: Error): boolean {
  return /^(?:WRONGPASS|NOAUTH|NOPERM)\b/.test(error.message);
}

function unfit(cause: Error): RedisUnfit {
  return new RedisUnfit(`Redis does not let us in: ${cause.message}`, { cause });
}
