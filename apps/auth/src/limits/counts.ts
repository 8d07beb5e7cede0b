import { createLocalCounts } from '@gatehouse/rate-limits';
import type { Logger } from '@gatehouse/service-kit';
import type { Redis } from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import type { Limit } from './limits.ts';

export interface Counted {
  /** How long to wait, when this one was too many. */
  waitMs: number | undefined;
  /** As if it had not been counted. */
  takeBack(): Promise<void>;
}

export interface Counts<Name extends string> {
  /** Counts one more, here at once and then in Redis. */
  add(name: Name, key: string): Promise<Counted>;
  /** Whether this process has counted nothing, whatever the key. */
  isEmpty(name: Name): boolean;
  /** How long to wait until one more would not be too many, as far as this process knows. */
  waitFor(name: Name, key: string): number | undefined;
  forget(name: Name, key: string): Promise<void>;
}

const mostKeys = 20_000;
const pauseMs = 1000;

/**
 * Counts in this process and, where there is one, in a Redis that several share. While Redis does not answer, what this
 * process has seen itself counts, against the stricter bound.
 */
export function createCounts<Name extends string>(
  limits: Record<Name, Limit>,
  redis: Redis | undefined,
  logger: Logger,
): Counts<Name> {
  const counters = new Map(
    Object.entries<Limit>(limits).map(([name, limit]) => {
      const { most: points, windowSeconds: duration } = limit;
      const keyPrefix = `gatehouse:limit:${name}`;
      const shared = redis && new RateLimiterRedis({ storeClient: redis, keyPrefix, points, duration });
      return [name, { limit, shared, local: createLocalCounts(duration * 1000, mostKeys) }];
    }),
  );
  const counterOf = (name: Name) => {
    const counter = counters.get(name);
    if (!counter) throw new TypeError(`no such limit: ${name}`);
    return counter;
  };

  let isAway = false;
  let askAgainAt = 0;

  /** The answer of Redis, or undefined while there is none; then it is left alone for a while, but for one at a time. */
  async function ask<Reply>(command: () => Promise<Reply>): Promise<Reply | undefined> {
    if (isAway && performance.now() < askAgainAt) return undefined;
    askAgainAt = performance.now() + pauseMs;
    try {
      const reply = await command();
      if (isAway) logger.info('limits are shared again');
      isAway = false;
      return reply;
    } catch (err) {
      if (!isAway) logger.warn({ err }, 'limits are counted by this process alone');
      isAway = true;
      return undefined;
    }
  }

  return {
    async add(name, key) {
      const { limit, shared, local } = counterOf(name);
      const { counted, madeRoom } = local.add(key);
      const takeBackHere = async () => local.takeBack(key, counted);
      const overBy = (most: number) =>
        counted.count > most ? counted.endsAt - performance.now() : undefined;

      const waitMs = overBy(limit.most);
      if (!shared || waitMs !== undefined) return { waitMs, takeBack: takeBackHere };
      // With more keys at once than people have, Redis would have no room left for the denylist.
      const reply = madeRoom ? undefined : await ask(() => shared.penalty(key));
      if (!reply) return { waitMs: overBy(limit.mostAlone), takeBack: takeBackHere };

      const { consumedPoints, msBeforeNext } = reply;
      const endsAt = performance.now() + msBeforeNext;
      const isOver = consumedPoints > limit.most;
      if (isOver) local.raise(key, consumedPoints, msBeforeNext);
      return {
        waitMs: isOver ? msBeforeNext : undefined,
        async takeBack() {
          await takeBackHere();
          if (performance.now() < endsAt) await ask(() => shared.reward(key));
        },
      };
    },

    isEmpty: (name) => counterOf(name).local.isEmpty(),

    waitFor(name, key) {
      const { limit, shared, local } = counterOf(name);
      const found = local.find(key);
      const most = shared && isAway ? limit.mostAlone : limit.most;
      return found && found.count >= most ? found.endsAt - performance.now() : undefined;
    },

    async forget(name, key) {
      const { shared, local } = counterOf(name);
      local.forget(key);
      if (shared) await ask(() => shared.delete(key));
    },
  };
}
