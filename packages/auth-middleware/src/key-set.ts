import { createPublicKey } from 'node:crypto';

/** The one algorithm that an issuer signs access tokens with (RFC 7518, 3.1). */
export type SigningAlgorithm = 'ES256' | 'PS256' | 'RS256';

/** A public signing key as we keep it: these members and no others (RFC 7518, 6.2.1 and 6.3.1). */
export type PublicKey = { kid: string; alg: SigningAlgorithm; use: 'sig' } & (
  | { kty: 'EC'; crv: 'P-256'; x: string; y: string }
  | { kty: 'RSA'; n: string; e: string }
);

export interface KeySetOptions {
  /** Where the issuer's JWK Set is, as seen from this process. */
  jwksUri: string;
  /** Keys for any other algorithm are not used. Default ES256. */
  algorithm?: SigningAlgorithm;
  /** How often the keys are fetched anew, and so how long a withdrawn key may live. Default one minute. */
  refreshMs?: number;
  /**
   * Told once per outage why the keys cannot be fetched, and how many published keys are not used when that changes; for
   * logs and alerts.
   */
  onFault?: (error: unknown) => void;
  /** Told when they are fetched again after that. */
  onRecovery?: () => void;
}

/** The issuer's public keys, kept fresh in the background and served from memory while the issuer is away. */
export interface KeySet {
  /** Resolves when keys are known, after at most one fetch; rejects when that fetch fails. */
  load(): Promise<void>;
  /** The keys known now: the same object until they change, undefined before the first good fetch. */
  current(): { keys: PublicKey[] } | undefined;
  /**
   * Whether the issuer publishes this key. An unknown one makes the set be fetched again, once in 30 seconds
   * whatever number of tokens ask; throws when it cannot be told because the issuer does not answer.
   */
  knows(kid: string): boolean | Promise<boolean>;
  /** How long ago the keys were fetched; infinite before the first good fetch. */
  ageMs(): number;
  close(): void;
}

const deadlineMs = 1500;
const maxBodyBytes = 64 * 1024;
const seekPauseMs = 30_000;
const retryMs = { withKeys: 5000, withoutKeys: 500 };

/** Fetches the key set at once and then again and again until close(); a failed fetch changes nothing. */
export function createKeySet({
  jwksUri,
  algorithm = 'ES256',
  refreshMs = 60_000,
  onFault = () => {},
  onRecovery = () => {},
}: KeySetOptions): KeySet {
  const closing = new AbortController();
  let keySet: { keys: PublicKey[] } | undefined;
  let inFlight: Promise<void> | undefined;
  let lastFailure: unknown;
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let seekAgainAt = 0;
  let unusedBefore = 0;
  let timer: NodeJS.Timeout | undefined;
  void refreshAlways();

  const has = (kid: string) => keySet?.keys.some((key) => key.kid === kid) ?? false;

  return {
    async load() {
      if (!keySet) await update();
    },
    current: () => keySet,
    knows: (kid) => has(kid) || seek(kid),
    ageMs: () => performance.now() - fetchedAt,
    close() {
      closing.abort();
      clearTimeout(timer);
    },
  };

  async function refreshAlways(): Promise<void> {
    await update().catch(() => {});
    if (closing.signal.aborted) return;
    const pauseMs = lastFailure === undefined ? refreshMs : keySet ? retryMs.withKeys : retryMs.withoutKeys;
    // Jitter, so that processes started together do not fetch together for ever.
    timer = setTimeout(refreshAlways, pauseMs * (0.9 + 0.2 * Math.random())).unref();
  }

  async function seek(kid: string): Promise<boolean> {
    await inFlight?.catch(() => {});
    if (!has(kid) && performance.now() >= seekAgainAt) {
      seekAgainAt = performance.now() + seekPauseMs;
      await update().catch(() => {});
    }
    if (!has(kid) && lastFailure !== undefined) throw lastFailure;
    return has(kid);
  }

  function update(): Promise<void> {
    inFlight ??= fetchKeys()
      .then(
        (keys) => {
          if (lastFailure !== undefined) onRecovery();
          lastFailure = undefined;
          fetchedAt = performance.now();
          if (JSON.stringify(keys) !== JSON.stringify(keySet?.keys)) keySet = { keys };
        },
        (error) => {
          if (lastFailure === undefined && !closing.signal.aborted) onFault(error);
          lastFailure = error;
          throw error;
        },
      )
      .finally(() => {
        inFlight = undefined;
      });
    return inFlight;
  }

  async function fetchKeys(): Promise<PublicKey[]> {
    const response = await fetch(jwksUri, {
      headers: { accept: 'application/jwk-set+json, application/json' },
      redirect: 'error',
      signal: AbortSignal.any([closing.signal, AbortSignal.timeout(deadlineMs)]),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`the key set answered ${response.status}`);
    }
    const published = JSON.parse(await readText(response)) as { keys?: unknown } | null;
    const candidates = Array.isArray(published?.keys) ? (published.keys as unknown[]) : [];
    const keys = usableKeys(candidates, algorithm);
    if (keys.length === 0) throw new Error('the key set has no usable key');
    const unused = candidates.length - keys.length;
    if (unused > 0 && unused !== unusedBefore) onFault(new Error(`${unused} published keys are not used`));
    unusedBefore = unused;
    return keys;
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > maxBodyBytes) throw new Error('the key set is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The sound keys for the algorithm among `candidates`; of keys that share a kid none, since it names no single one of them. */
function usableKeys(candidates: unknown[], algorithm: SigningAlgorithm): PublicKey[] {
  const keys = candidates.map((key) => usableKey(key, algorithm)).filter((key) => key !== undefined);
  return keys.filter(({ kid }) => candidates.filter((other) => kidOf(other) === kid).length === 1);
}

function usableKey(candidate: unknown, algorithm: SigningAlgorithm): PublicKey | undefined {
  const { kty, crv, x, y, n, e, kid, alg, use, d } = Object(candidate) as Record<string, unknown>;
  // A key whose private half is public signs for everyone.
  if (alg !== algorithm || use !== 'sig' || d !== undefined) return undefined;
  const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
  if (!isText(kid)) return undefined;
  const about = { kid, alg: algorithm, use } as const;
  if (algorithm === 'ES256') {
    if (kty !== 'EC' || crv !== 'P-256' || !isText(x) || !isText(y)) return undefined;
    return ifStrong({ kty, crv, x, y, ...about });
  }
  if (kty !== 'RSA' || !isText(n) || !isText(e)) return undefined;
  return ifStrong({ kty, n, e, ...about });
}

const ifStrong = (key: PublicKey) => (isStrongKey(key) ? key : undefined);

/** Whether this is a public key that nobody but its owner can sign for: as a JWK, of whatever type (RFC 7518, 6). */
export function isStrongKey(key: object): boolean {
  try {
    const { asymmetricKeyDetails } = createPublicKey({ key: { ...key }, format: 'jwk' });
    // RFC 7518, 3.3 and 3.5; FIPS 186-5, 5.1. With an exponent of 1 everybody signs.
    const { modulusLength = 2048, publicExponent = 65_537n } = asymmetricKeyDetails ?? {};
    return modulusLength >= 2048 && publicExponent > 65_536n;
  } catch {
    return false;
  }
}

function kidOf(candidate: unknown): unknown {
  return (Object(candidate) as Record<string, unknown>).kid;
}
