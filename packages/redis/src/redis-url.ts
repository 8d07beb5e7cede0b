import type { RedisOptions } from 'ioredis';

const sentinelUrl =
  /^redis\+sentinel:\/\/(?:(?<user>[^:@/]*):(?<password>[^:@/]*)@)?(?<sentinels>[^@/?#]+)\/(?<name>[\w.-]+)$/;

/** Whether `createRedisClient` takes it: `redis://`, `rediss://`, or sentinels. */
export function isRedisUrl(url: string): boolean {
  return isSentinelUrl(url) || (URL.canParse(url) && /^rediss?:$/.test(new URL(url).protocol));
}

/**
 * Whether it names sentinels, who know which of several Redis is the primary now:
 * `redis+sentinel://user:password@host:port,host:port/name`, the port being 26379 where none is given. User and password
 * are those of Redis itself, percent-encoded.
 */
export function isSentinelUrl(url: string): boolean {
  const { user = '', password = '', sentinels } = sentinelUrl.exec(url)?.groups ?? {};
  if (sentinels === undefined || !isEncoded(user) || !isEncoded(password)) return false;
  return sentinels
    .split(',')
    .every((address) => URL.canParse(`redis://${address}`) && new URL(`redis://${address}`).hostname !== '');
}

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** What a URL that names sentinels means. */
export function sentinelOptions(url: string): Omit<RedisOptions, 'replyMapping'> {
  const { user, password, sentinels, name = '' } = sentinelUrl.exec(url)?.groups ?? {};
  return {
    name,
    sentinels: (sentinels ?? '').split(',').map((address) => {
      const { hostname, port } = new URL(`redis://${address}`);
      return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 26_379) };
    }),
    ...(user && { username: decodeURIComponent(user) }),
    ...(password && { password: decodeURIComponent(password) }),
    // A primary that was cut off goes on answering, as if nothing had happened.
    failoverDetector: true,
  };
}
