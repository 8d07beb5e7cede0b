import { setTimeout as delay } from 'node:timers/promises';
import { createRedisClient, requireFit } from '@gatehouse/redis';
import type { Redis } from 'ioredis';
import { type DenylistReader, DenylistUnavailable, type TokenReference } from './denylist.ts';
import { decode, logKeys } from './redis-log.ts';
import { createRevocationIndex, sweepRegularly } from './revocation-index.ts';

const logStart = '0-0';
const batchSize = 1000;
const blockMs = 250;
const retryMs = 100;

interface Moment {
  steadyMs: number;
  wallMs: number;
}
const never: Moment = { steadyMs: Number.NEGATIVE_INFINITY, wallMs: Number.NEGATIVE_INFINITY };

export interface RedisDenylistReaderOptions {
  url: string;
  /** Distinguishes denylists that share a Redis. */
  name?: string;
  /** How old the local copy may be before isRevoked() throws. Default 5000. */
  maxAgeMs?: number;
  /** Told once per outage why the log cannot be read. */
  onFault?: (error: unknown) => void;
  /** Told when it is read again after that. */
  onRecovery?: () => void;
}

/**
 * Follows the denylist in Redis on a connection of its own: at once, and again whenever the connection was lost,
 * until close(). The log is trusted only while its completeness marker exists, in a Redis that is fit to keep it.
 */
export function createRedisDenylistReader({
  url,
  name = 'gatehouse:denylist',
  maxAgeMs = 5000,
  onFault = () => {},
  onRecovery = () => {},
}: RedisDenylistReaderOptions): DenylistReader {
  const { stream, marker } = logKeys(name);
  const index = createRevocationIndex();
  const stopSweeping = sweepRegularly(index);
  const closing = new AbortController();
  const { promise: ready, resolve: markReady, reject: markClosed } = Promise.withResolvers<void>();
  ready.catch(() => {});
  let renewedAt: Moment = never;
  // While a machine is suspended, the clock that nobody sets may stand still.
  const ageMs = () => Math.max(performance.now() - renewedAt.steadyMs, Date.now() - renewedAt.wallMs);
  const following = followAlways();

  return {
    isRevoked(token: TokenReference) {
      if (ageMs() > maxAgeMs) throw new DenylistUnavailable('the local copy of the denylist is too old');
      return index.covers(token);
    },
    ready: () => ready,
    status: () => ({ ageMs: ageMs(), entries: index.size() }),
    async close() {
      closing.abort();
      stopSweeping();
      await following;
      renewedAt = never;
      markClosed(new DenylistUnavailable('the denylist is closed'));
    },
  };

  async function followAlways(): Promise<void> {
    let faultReported = false;
    while (!closing.signal.aborted) {
      const redis = createRedisClient(url, {
        lazyConnect: true,
        retryStrategy: () => null,
        commandTimeout: blockMs + 500,
      });
      // Of a refused connection the rejected call says no more than that it is closed.
      let refusal: unknown;
      redis.on('error', (error) => {
        refusal = error;
      });
      const hangUp = () => redis.disconnect();
      closing.signal.addEventListener('abort', hangUp);
      try {
        await redis.connect();
        await requireFit(redis);
        await follow(redis, () => {
          if (faultReported) onRecovery();
          faultReported = false;
        });
      } catch (error) {
        if (!closing.signal.aborted && !faultReported) onFault(refusal ?? error);
        faultReported = true;
      }
      closing.signal.removeEventListener('abort', hangUp);
      hangUp();
      await delay(retryMs, undefined, { signal: closing.signal }).catch(() => {});
    }
  }

  /** Reads the log from its start, then everything appended to it, until the connection fails. */
  async function follow(redis: Redis, onRead: () => void): Promise<never> {
    let position = logStart;
    let generation: string | null = null;
    let caughtUp = false;
    for (;;) {
      const askedAt = { steadyMs: performance.now(), wallMs: Date.now() };
      const { entries, found } = await read(redis, position, caughtUp);
      for (const [id, fields] of entries) {
        const revocation = decode(fields);
        if (revocation) index.add(revocation);
        position = id;
      }
      caughtUp = entries.length < batchSize;
      if (found !== generation) {
        // The log was emptied and refilled meanwhile, perhaps with ids lower than the position.
        generation = found;
        position = logStart;
        caughtUp = false;
      } else if (caughtUp && generation !== null) {
        // What was appended after the question may be missing, so the copy is as old as the question.
        renewedAt = askedAt;
        onRead();
        markReady();
      }
    }
  }

  async function read(redis: Redis, position: string, wait: boolean): Promise<LogRead> {
    const pipeline = redis.pipeline();
    if (wait) pipeline.xread('COUNT', batchSize, 'BLOCK', blockMs, 'STREAMS', stream, position);
    else pipeline.xread('COUNT', batchSize, 'STREAMS', stream, position);
    const replies = (await pipeline.get(marker).exec()) ?? [];
    const [log, found] = replies.map(([error, reply]) => {
      if (error) throw error;
      return reply;
    });
    const streams = log as [stream: string, entries: LogEntry[]][] | null;
    return { entries: streams?.[0]?.[1] ?? [], found: found as string | null };
  }
}

type LogEntry = [id: string, fields: string[]];

interface LogRead {
  entries: LogEntry[];
  /** The completeness marker as it was after the entries were read. */
  found: string | null;
}
