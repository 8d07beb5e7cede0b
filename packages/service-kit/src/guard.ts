import {
  type Authenticate,
  createAuthenticate,
  createKeySet,
  createMemoryProofIds,
  createRedisProofIds,
  type KeySet,
} from '@gatehouse/auth-middleware';
import { createMemoryDenylist, createRedisDenylistReader, type DenylistReader } from '@gatehouse/denylist';
import { z } from 'zod';
import { RedisUrlSchema, requireSetting, UrlSchema } from './config.ts';
import type { Logger } from './log.ts';
import { type Metrics, readIn } from './metrics.ts';

/** The audience of the tokens that clients call the gateway with. */
export const apiAudience = 'urn:gatehouse:api';

/** What every process that checks tokens reads from its environment, besides ISSUER. */
export const guardVariables = {
  JWKS_URI: UrlSchema,
  REDIS_URL: RedisUrlSchema.optional(),
  /** Of another identity provider, to the letter; ISSUER itself unless given. */
  TOKEN_ISSUER: UrlSchema.optional(),
  /** ES256 unless given. */
  TOKEN_SIGNING_ALG: z.enum(['ES256', 'PS256', 'RS256']).optional(),
  /** `none` for tokens of an issuer that writes no denylist: they are good until they expire. */
  DENYLIST: z.enum(['redis', 'none']).optional(),
  /** How many verified tokens are remembered, at half a kilobyte each: as many as are in use. */
  TOKEN_CACHE_SIZE: z.coerce.number().int().min(1).max(1_000_000).optional(),
};
type GuardConfig = { JWKS_URI: string } & Partial<z.output<z.ZodObject<typeof guardVariables>>>;

export interface Guard {
  readonly authenticate: Authenticate;
  /** Readiness: keys have been fetched once, and the denylist was complete once. */
  readonly checks: Record<'keys' | 'denylist', () => Promise<void>>;
}

interface GuardOptions {
  /** Of the service, the same in all its replicas. */
  name: string;
  config: { ISSUER: string } & GuardConfig;
  audiences: readonly string[];
  /** Where this resource's metadata is (RFC 9728), told in challenges. */
  resourceMetadataUrl?: string;
  /** What services of one process share, instead of one that follows REDIS_URL. */
  denylist?: DenylistReader | undefined;
  logger: Logger;
  metrics: Metrics;
}

/**
 * Everything that tells who is calling: the issuer's keys and the denylist, both followed in the background until
 * `opened` is disposed, the ids of used proofs, and the middleware that stands on them.
 */
export function openGuard(options: GuardOptions, opened: AsyncDisposableStack): Guard {
  const { name, config, audiences, resourceMetadataUrl, logger, metrics } = options;
  const keySet = createKeySet({
    jwksUri: config.JWKS_URI,
    ...(config.TOKEN_SIGNING_ALG && { algorithm: config.TOKEN_SIGNING_ALG }),
    onFault: (err) => logger.warn({ err }, 'trouble with the keys of the issuer'),
    onRecovery: () => logger.info('the keys of the issuer are refreshed again'),
  });
  opened.defer(() => keySet.close());
  const denylist =
    options.denylist ??
    (config.DENYLIST === 'none' ? emptyDenylist() : undefined) ??
    createRedisDenylistReader({
      url: requireSetting(config.REDIS_URL, 'REDIS_URL'),
      onFault: (err) => logger.warn({ err }, 'the denylist cannot be read'),
      onRecovery: () => logger.info('the denylist is read again'),
    });
  if (denylist !== options.denylist) opened.defer(() => denylist.close());
  const proofIds = config.REDIS_URL
    ? createRedisProofIds({ url: config.REDIS_URL, verifier: name })
    : createMemoryProofIds();
  opened.defer(() => proofIds.close());
  const lookups = { hit: 0, miss: 0 };
  tellAtScrape(metrics, keySet, denylist, lookups);
  const authenticate = createAuthenticate({
    issuer: config.TOKEN_ISSUER ?? config.ISSUER,
    audiences,
    keySet,
    denylist,
    // ISSUER is the public origin of the APIs too.
    dpop: { origin: new URL(config.ISSUER).origin, proofIds },
    onVerdict: metrics.countVerdict,
    onLookup: (isKnown) => {
      lookups[isKnown ? 'hit' : 'miss'] += 1;
    },
    ...(config.TOKEN_CACHE_SIZE !== undefined && { cacheSize: config.TOKEN_CACHE_SIZE }),
    ...(resourceMetadataUrl !== undefined && { resourceMetadataUrl }),
  });
  // Public routes outlive Redis: a denylist that was complete once and is old now refuses tokens, not probes.
  return { authenticate, checks: { keys: () => keySet.load(), denylist: () => denylist.ready() } };
}

function emptyDenylist(): DenylistReader {
  const denylist = createMemoryDenylist();
  void denylist.markComplete();
  return denylist;
}

function tellAtScrape(
  { service, registry }: Metrics,
  keySet: KeySet,
  denylist: DenylistReader,
  lookups: Record<'hit' | 'miss', number>,
): void {
  const labels = { service };
  readIn(
    registry,
    {
      type: 'gauge',
      name: 'issuer_keys_age_seconds',
      help: 'How long ago the keys of the issuer were fetched; infinite until they were',
      labelNames: ['service'],
    },
    () => [{ labels, value: keySet.ageMs() / 1_000 }],
  );
  readIn(
    registry,
    {
      type: 'gauge',
      name: 'denylist_age_seconds',
      help: 'How old the local copy of the denylist is; infinite until it was complete',
      labelNames: ['service'],
    },
    () => [{ labels, value: denylist.status().ageMs / 1_000 }],
  );
  readIn(
    registry,
    {
      type: 'gauge',
      name: 'denylist_entries',
      help: 'Revocations in the local copy of the denylist',
      labelNames: ['service'],
    },
    () => [{ labels, value: denylist.status().entries }],
  );
  readIn(
    registry,
    {
      type: 'counter',
      name: 'token_cache_lookups_total',
      help: 'Tokens looked for among those verified before, and whether they were there',
      labelNames: ['service', 'result'],
    },
    () => Object.entries(lookups).map(([result, value]) => ({ labels: { service, result }, value })),
  );
}
