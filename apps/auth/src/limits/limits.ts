import type { IncomingMessage } from 'node:http';
import { networkOf } from '@gatehouse/rate-limits';
import { counterIn, type Logger, type Metrics, Problem, requestIdOf } from '@gatehouse/service-kit';
import type { Redis } from 'ioredis';
import { normalizeUsername } from '../accounts/accounts.ts';
import { clientAddressOf } from '../client-address.ts';
import type { Vault } from '../protocol/vault.ts';
import { type Counted, createCounts } from './counts.ts';
import { oneAtATime } from './one-at-a-time.ts';

export interface Limit {
  /** How many there may be in one window. */
  readonly most: number;
  readonly windowSeconds: number;
  /** How many a process allows that has to count alone, since Redis is away. */
  readonly mostAlone: number;
}

/**
 * Every limit there is. What may be guessed counts failures, what costs us counts requests; a network is one IPv4
 * address or one /64 of IPv6. Wrong user codes of devices are counted with the codes, in grants/device-codes.ts.
 */
export const limits = {
  // Wrong passwords: for one account from one network, and from one network whatever the account.
  'account-password': { most: 10, windowSeconds: 900, mostAlone: 3 },
  'network-password': { most: 100, windowSeconds: 900, mostAlone: 30 },
  // Failed client authentications at any endpoint, likewise.
  'client-secret': { most: 20, windowSeconds: 600, mostAlone: 10 },
  'network-client-secret': { most: 100, windowSeconds: 600, mostAlone: 50 },
  // Requests from one network.
  registration: { most: 60, windowSeconds: 3600, mostAlone: 20 },
  'device-authorization': { most: 100, windowSeconds: 600, mostAlone: 50 },
} as const satisfies Record<string, Limit>;
export type LimitName = keyof typeof limits;

/** There were too many already: 429, with the time to wait. */
export class LimitExceeded extends Problem {
  constructor(waitSeconds: number) {
    const minutes = Math.ceil(waitSeconds / 60);
    const wait = waitSeconds < 60 ? 'a moment' : minutes === 1 ? 'a minute' : `${minutes} minutes`;
    super(429, `Too many attempts. Please wait ${wait} and try again.`, {
      headers: { 'Retry-After': String(waitSeconds) },
    });
  }
}

export interface Limits {
  /**
   * What `check` resolves to: the account, or undefined when the password was wrong, which is counted.
   * @throws LimitExceeded when nothing may be tried now; `check` is not called then
   */
  guessPassword<Account>(
    req: IncomingMessage,
    username: string,
    check: () => Promise<Account | undefined>,
  ): Promise<Account | undefined>;
  /** Counts this request. @throws LimitExceeded */
  countRequest(name: 'registration' | 'device-authorization', req: IncomingMessage): Promise<void>;
  /** Counts a client that was not who it says. @throws LimitExceeded */
  countClientFailure(req: IncomingMessage, clientId: string | undefined): Promise<void>;
  /** Counts nothing, and asks nobody. @throws LimitExceeded when no secret of this client may be tried now */
  requireClientGuess(req: IncomingMessage, clientId: string): void;
}

interface LimitsDependencies {
  /** Where all processes count together; without it each counts alone, and is taken to be the only one. */
  redis?: Redis | undefined;
  vault: Vault;
  logger: Logger;
  metrics: Metrics;
}

type Where = readonly [name: LimitName, key: string];

const longestQueue = 50;

/** The limits, counted in `redis` by all processes together; a process that Redis does not answer counts alone, more strictly. */
export function createLimits({ redis, vault, logger, metrics }: LimitsDependencies): Limits {
  const counts = createCounts(limits, redis, logger);
  const inTurn = oneAtATime(longestQueue);
  const refusals = counterIn(metrics.registry, {
    name: 'auth_limited_total',
    help: 'Requests refused by a limit',
    labelNames: ['limit'],
  });

  // Redis is no place for names: a keyed hash is found again and tells nothing.
  const keyOf = (...parts: string[]) => vault.hash(JSON.stringify(parts), 'limit').slice(0, 22);
  const networkOfRequest = (req: IncomingMessage) => networkOf(clientAddressOf(req));

  function refuse(req: IncomingMessage, name: LimitName, waitMs: number): never {
    refusals.inc({ limit: name });
    logger.info({ requestId: requestIdOf(req), limit: name }, 'limited');
    throw new LimitExceeded(Math.max(1, Math.ceil(waitMs / 1000)));
  }

  async function take(req: IncomingMessage, name: LimitName, key: string): Promise<Counted> {
    const counted = await counts.add(name, key);
    if (counted.waitMs !== undefined) refuse(req, name, counted.waitMs);
    return counted;
  }

  /** Counts both, or neither: what one limit refuses uses up nothing of the other. */
  async function takeBoth(req: IncomingMessage, [wide, narrow]: readonly [Where, Where]) {
    const wideCounted = await take(req, ...wide);
    try {
      return [wideCounted, await take(req, ...narrow)] as const;
    } catch (error) {
      await wideCounted.takeBack();
      throw error;
    }
  }

  const clientLimits = (req: IncomingMessage, clientId: string): readonly [Where, Where] => {
    const network = networkOfRequest(req);
    return [
      ['network-client-secret', keyOf(network)],
      ['client-secret', keyOf(network, clientId)],
    ];
  };

  return {
    async guessPassword(req, username, check) {
      const network = networkOfRequest(req);
      const accountKey = keyOf(network, normalizeUsername(username));
      const tooMany = () => refuse(req, 'account-password', 1000);
      return inTurn(accountKey, tooMany, async () => {
        // Counted before it is looked at, so that guesses that come at once do not all find the count low.
        const [inNetwork, ofAccount] = await takeBoth(req, [
          ['network-password', keyOf(network)],
          ['account-password', accountKey],
        ]);
        let account: Awaited<ReturnType<typeof check>>;
        try {
          account = await check();
        } catch (error) {
          await Promise.all([inNetwork.takeBack(), ofAccount.takeBack()]);
          throw error;
        }
        if (account === undefined) return undefined;
        // Whoever knows the password starts anew; an account of one's own wins nothing back for the network.
        await Promise.all([inNetwork.takeBack(), counts.forget('account-password', accountKey)]);
        return account;
      });
    },
    async countRequest(name, req) {
      await take(req, name, keyOf(networkOfRequest(req)));
    },
    async countClientFailure(req, clientId = '') {
      await takeBoth(req, clientLimits(req, clientId));
    },
    requireClientGuess(req, clientId) {
      // Mostly nobody has failed, and keyed hashes are a good part of what a token costs.
      if (counts.isEmpty('network-client-secret') && counts.isEmpty('client-secret')) return;
      for (const [name, key] of clientLimits(req, clientId)) {
        const waitMs = counts.waitFor(name, key);
        if (waitMs !== undefined) refuse(req, name, waitMs);
      }
    },
  };
}
