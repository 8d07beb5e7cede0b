import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { createRedisClient, isSentinelUrl, requestDeadlines } from '@gatehouse/redis';
import type { ChainableCommander } from 'ioredis';
import { DenylistUnavailable, type DenylistWriter } from './denylist.ts';
import { encode, logKeys } from './redis-log.ts';

const entriesPerTransaction = 100;

// What was replayed into a log that was wiped meanwhile is gone, and so is the id of that replay. The marker's new
// value makes readers read the log from its start; the entry wakes them.
const markScript = `
  if ARGV[2] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[2] then return 0 end
  redis.call('SET', KEYS[2], ARGV[1])
  redis.call('XADD', KEYS[1], '*', 'complete', ARGV[1])
  return 1`;

export interface RedisDenylistWriterOptions {
  url: string;
  /** Distinguishes denylists that share a Redis. */
  name?: string;
  /** How long the log keeps an entry: more than the longest access-token life. Default one hour. */
  windowSeconds?: number;
}

/**
 * Appends to the denylist in Redis, and trims what is older than the window. A Redis that is away, frozen, full or
 * read-only makes a call fail with DenylistUnavailable within about 150 milliseconds; nothing is queued for later. Behind
 * sentinels, what no replica has within 100 milliseconds has failed too.
 * An `exp` beyond the window is a RangeError: the log would forget the entry before the token has died.
 */
export function createRedisDenylistWriter({
  url,
  name = 'gatehouse:denylist',
  windowSeconds = 3600,
}: RedisDenylistWriterOptions): DenylistWriter {
  const { stream, marker, replay } = logKeys(name);
  const redis = createRedisClient(url, requestDeadlines);
  let replayId: unknown = '';
  // A Redis that was away can come back with the marker and without the newest entries: it is complete only as far as
  // this connection has made it so.
  let connection = 0;
  let replayedOn = 0;
  let completeOn = 0;
  redis.on('ready', () => {
    connection += 1;
  });
  // Nothing is queued, so whoever comes first waits for the first connection.
  const opened = Promise.race([
    new Promise<void>((resolve) => redis.once('ready', resolve)),
    delay(500, undefined, { ref: false }),
  ]);

  return {
    async append(revocations) {
      const latest = Date.now() / 1000 + windowSeconds;
      if (revocations.some(({ exp }) => !(exp <= latest))) {
        throw new RangeError('a revocation must expire within the window of the denylist');
      }
      for (let i = 0; i < revocations.length; i += entriesPerTransaction) {
        const transaction = redis.multi();
        for (const revocation of revocations.slice(i, i + entriesPerTransaction)) {
          transaction.xadd(stream, '*', ...encode(revocation));
        }
        const lastId = await commit(transaction);
        if (isSentinelUrl(url)) await untilReplicated();
        trim(lastId);
      }
    },
    async isComplete() {
      const found = await attempt(() => redis.exists(marker));
      if (found === 1 && completeOn === connection) return true;
      replayedOn = connection;
      replayId = await commit(redis.multi().set(replay, randomUUID(), 'NX').get(replay));
      return false;
    },
    async markComplete() {
      const generation = randomUUID();
      const keys = [stream, marker, replay] as const;
      const marked = await attempt(() =>
        redis.eval(markScript, keys.length, ...keys, generation, String(replayId)),
      );
      if (marked !== 1) throw unavailable(new Error('the log lost its data during the replay'));
      completeOn = replayedOn;
    },
    async close() {
      redis.disconnect();
    },
  };

  async function attempt<T>(command: () => Promise<T>): Promise<T> {
    await opened;
    try {
      return await command();
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Runs a transaction and returns its last reply. */
  async function commit(transaction: ChainableCommander): Promise<unknown> {
    const replies = (await attempt(() => transaction.exec())) ?? [];
    for (const [error] of replies) if (error) throw unavailable(error);
    return replies.at(-1)?.[1];
  }

  /** What the primary alone has would be gone if another one took its place now. */
  async function untilReplicated(): Promise<void> {
    const copies = await attempt(() => redis.wait(1, 100));
    if (copies === 0) throw unavailable(new Error('no replica has it'));
  }

  function trim(lastId: unknown): void {
    // The earlier of both clocks, so that neither one running fast costs an entry that still counts.
    const now = Math.min(Date.now(), Number.parseInt(String(lastId), 10));
    const oldest = Math.max(0, now - windowSeconds * 1000);
    // The entries are in the log already: a trim that fails is made up for by the next.
    redis.xtrim(stream, 'MINID', '~', oldest).catch(() => {});
  }
}

function unavailable(error: unknown): DenylistUnavailable {
  // Of a transaction that was discarded, the command that Redis did not take says why.
  const [cause = error] = (error as { previousErrors?: Error[] } | undefined)?.previousErrors ?? [];
  return new DenylistUnavailable('the denylist in Redis does not answer', { cause });
}
