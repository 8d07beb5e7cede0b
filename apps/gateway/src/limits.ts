import type { IncomingMessage } from 'node:http';
import { callerOf, noteCheck } from '@gatehouse/auth-middleware';
import type { Count } from '@gatehouse/rate-limits';
import { createRedisClient } from '@gatehouse/redis';
import {
  counterIn,
  isHealthCheck,
  type Logger,
  type Metrics,
  Problem,
  repeat,
} from '@gatehouse/service-kit/core';
import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { clientNetworkOf } from './client-address.ts';
import { createSharedCounts, type SharedCounts } from './shared-counts.ts';

interface RateLimit {
  /** How many requests a minute, unless RATE_LIMIT_<NAME> says otherwise. */
  most: number;
  /** Whose requests are counted together. */
  of: (req: IncomingMessage) => string;
}

/**
 * Every limit there is, in the order in which a request meets them. The defaults are above what one process can do, so
 * that they stop a flood through several and nobody's test; what a caller is sold is a setting.
 */
export const rateLimits = {
  // One IPv4 address or one /64 of IPv6, before anything of the request is looked at.
  address: { most: 1_200_000, of: clientNetworkOf },
  // Behind the token's verdict, so that nobody can use up what is another's.
  caller: { most: 600_000, of: (req) => callerOf(req).subject },
  // Above that of its callers: the users of one app share it.
  client: { most: 1_200_000, of: (req) => callerOf(req).clientId },
} satisfies Record<string, RateLimit>;
export type RateLimitName = keyof typeof rateLimits;

const windowSeconds = 60;
const names = Object.keys(rateLimits) as RateLimitName[];

type RateLimitVariable = `RATE_LIMIT_${Uppercase<RateLimitName>}`;
const variableOf = (name: RateLimitName) => `RATE_LIMIT_${name.toUpperCase()}` as RateLimitVariable;

/** A variable for each limit: requests a minute. */
export const rateLimitVariables = Object.fromEntries(
  names.map((name) => [
    variableOf(name),
    z.coerce.number().int().min(1).max(1_000_000_000).default(rateLimits[name].most),
  ]),
) as Record<RateLimitVariable, z.ZodDefault<z.ZodCoercedNumber>>;

export interface RateLimits {
  /** For every request: the limit of its address. */
  readonly limitAddress: RequestHandler;
  /** Behind the guard: the limits of the caller and of the client that calls for him. */
  readonly limitCaller: RequestHandler;
  close(): Promise<void>;
}

const shareEveryMs = 500;

/**
 * The limits, each answered with RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-11) and, where one
 * is exceeded, 429 with Retry-After. Counted here, and shared through the Redis at `REDIS_URL` in the background.
 */
export function createRateLimits(
  config: Record<RateLimitVariable, number> & { REDIS_URL?: string | undefined },
  { logger, metrics }: { logger: Logger; metrics: Metrics },
): RateLimits {
  const { REDIS_URL: url } = config;
  const redis = url
    ? createRedisClient(url, {
        commandTimeout: 1_000,
        socketTimeout: 2_000,
        retryStrategy: () => shareEveryMs,
        enableAutoPipelining: true,
      })
    : undefined;
  const refusals = counterIn(metrics.registry, {
    name: 'rate_limited_total',
    help: 'Requests refused by a rate limit',
    labelNames: ['policy'],
  });
  const policies = Object.fromEntries(
    names.map((name) => {
      const most = config[variableOf(name)];
      const counts = createSharedCounts({ name, most, windowSeconds }, redis);
      return [name, { name, most, counts, of: rateLimits[name].of }];
    }),
  ) as Record<RateLimitName, Policy>;
  const { address, caller, client } = policies;
  const sharing =
    redis &&
    repeat(
      shareEveryMs,
      'share rate limits',
      async () => {
        for (const { counts } of Object.values(policies)) await counts.share();
      },
      logger,
    );

  function take(policy: Policy, req: Request, res: Response): Count {
    const { counted, isOver } = policy.counts.take(policy.of(req));
    if (!isOver) return counted;
    refusals.inc({ policy: policy.name });
    noteCheck(req, 'limits', policy.name);
    res.locals.headers.ratelimit = usageOf(policy, counted);
    throw new Problem(429, 'There have been too many requests; wait for the end of the window', {
      headers: { 'Retry-After': String(secondsLeft(counted)) },
    });
  }

  const addressPolicy = describe(address);
  const callerPolicies = [caller, client, address].map(describe).join(', ');

  return {
    limitAddress(req, res, next) {
      // Whoever asks whether we live must hear it.
      if (isHealthCheck(req.url)) return next();
      res.locals.headers['ratelimit-policy'] = addressPolicy;
      const counted = take(address, req, res);
      (req as Limited)[addressCount] = counted;
      res.locals.headers.ratelimit = usageOf(address, counted);
      next();
    },
    limitCaller(req, res, next) {
      res.locals.headers['ratelimit-policy'] = callerPolicies;
      const ofCaller = take(caller, req, res);
      let ofClient: Count;
      try {
        ofClient = take(client, req, res);
      } catch (error) {
        ofCaller.count -= 1;
        throw error;
      }
      // The one that is nearest to its end is told.
      let [policy, counted] = [caller, ofCaller];
      if (client.most - ofClient.count < policy.most - counted.count) [policy, counted] = [client, ofClient];
      const ofAddress = (req as Limited)[addressCount];
      if (ofAddress && address.most - ofAddress.count < policy.most - counted.count)
        [policy, counted] = [address, ofAddress];
      res.locals.headers.ratelimit = usageOf(policy, counted);
      next();
    },
    async close() {
      await sharing?.stop();
      redis?.disconnect();
    },
  };
}

const addressCount = Symbol('address count');
type Limited = IncomingMessage & { [addressCount]?: Count };

interface Policy {
  name: RateLimitName;
  most: number;
  counts: SharedCounts;
  of: RateLimit['of'];
}

function describe({ name, most }: Policy): string {
  return `"${name}";q=${most};w=${windowSeconds}`;
}

function usageOf({ name, most }: Policy, counted: Count): string {
  return `"${name}";r=${Math.max(0, most - counted.count)};t=${secondsLeft(counted)}`;
}

function secondsLeft({ endsAt }: Count): number {
  return Math.max(1, Math.ceil((endsAt - performance.now()) / 1000));
}
