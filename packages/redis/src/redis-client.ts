import { Redis, type RedisOptions } from 'ioredis';
import { isSentinelUrl, sentinelOptions } from './redis-url.ts';

type Options = Omit<RedisOptions, 'replyMapping'>;

/** For what a request waits for: an answer or a failure within 150 ms, and a new connection every 200 ms. */
export const requestDeadlines = { commandTimeout: 150, socketTimeout: 1000, retryStrategy: () => 200 };

/**
 * A client that never queues and never sends a command twice: what cannot be done now fails now.
 * @param url as isRedisUrl() has it
 * @param options besides, or instead of, ours: above all its deadlines, such as `requestDeadlines`
 */
export function createRedisClient(url: string, options: Options): Redis {
  const all: Options = {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    enableReadyCheck: false,
    disableClientInfo: true,
    connectTimeout: 500,
    protocol: 2,
    ...options,
  };
  const redis = isSentinelUrl(url)
    ? new RedisBehindSentinels(behindSentinels(url, all))
    : new Redis(url, all);
  // Every failure also rejects the command concerned; without a listener it would go to the console besides.
  redis.on('error', () => {});
  return redis;
}

/** Without this, a failover that is told while a client asks where the primary is ends the client for good. */
class RedisBehindSentinels extends Redis {
  #isClosed = false;

  constructor(options: Options) {
    super(options);
    this.on('end', () => {
      const pauseMs = options.retryStrategy?.(1);
      if (typeof pauseMs !== 'number') return;
      setTimeout(() => {
        // What fails here ends in another try, or in `end` again.
        if (!this.#isClosed && this.status === 'end') this.connect().catch(() => {});
      }, pauseMs).unref();
    });
  }

  override disconnect(reconnect = false): void {
    this.#isClosed ||= !reconnect;
    super.disconnect(reconnect);
  }
}

/** Sentinels get the deadlines of Redis. */
function behindSentinels(url: string, options: Options): Options {
  const { retryStrategy, commandTimeout } = options;
  return {
    ...options,
    ...sentinelOptions(url),
    ...(retryStrategy && { sentinelRetryStrategy: retryStrategy }),
    ...(commandTimeout !== undefined && { sentinelCommandTimeout: commandTimeout }),
  };
}
