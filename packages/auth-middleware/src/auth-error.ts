import type { Caller } from './caller.ts';
import { proofAlgorithms } from './verify-proof.ts';

/**
 * The error codes of RFC 6750, section 3.1, and RFC 9449, section 7.1, and two of our own: no credentials at all, and
 * trouble on our side.
 */
export type AuthErrorCode =
  | 'no_credentials'
  | 'invalid_request'
  | 'invalid_token'
  | 'invalid_dpop_proof'
  | 'insufficient_scope'
  | 'unavailable';

/** How a token is sent: by whoever bears it, or with a proof of the key that it is bound to. */
export type AuthScheme = 'Bearer' | 'DPoP';

/** The one scheme that the token of a caller may be sent by (RFC 9449, 7.2). */
export function schemeOf({ keyThumbprint }: Caller): AuthScheme {
  return keyThumbprint === undefined ? 'Bearer' : 'DPoP';
}

const statusOf = {
  no_credentials: 401,
  invalid_request: 400,
  invalid_token: 401,
  invalid_dpop_proof: 401,
  insufficient_scope: 403,
  unavailable: 503,
} as const;

interface Challenge {
  /** The one that the client used, or should have. Default Bearer. */
  scheme?: AuthScheme;
  scope?: string;
  resourceMetadataUrl?: string | undefined;
}

/**
 * A request that ends at the guard. It follows the http-errors convention, so any error handler can answer it:
 * `status`, `headers` (challenge, Retry-After, Cache-Control) and a `message` that may be shown.
 * What really happened is the `cause`, for logs only.
 */
export class AuthError extends Error {
  override readonly name = 'AuthError';
  readonly expose = true;
  readonly code: AuthErrorCode;
  readonly status: 400 | 401 | 403 | 503;
  readonly headers: Record<string, string>;

  constructor(
    code: AuthErrorCode,
    message: string,
    { cause, ...challenge }: Challenge & { cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = statusOf[code];
    const header =
      code === 'unavailable'
        ? { 'Retry-After': '1' }
        : { 'WWW-Authenticate': challengesFor(code, message, challenge) };
    this.headers = { ...header, 'Cache-Control': 'no-store' };
  }
}

function challengesFor(
  code: AuthErrorCode,
  message: string,
  { scheme = 'Bearer', ...parameters }: Challenge,
): string {
  if (code !== 'no_credentials') {
    // The message must keep to %x20-21 / %x23-5B / %x5D-7E (RFC 6750, 3).
    return challenge(scheme, { error: code, error_description: message, ...parameters });
  }
  // RFC 6750, 3: whoever sent no credentials is told no error; RFC 9449, 7.2: and every way there is.
  return `${challenge('Bearer', parameters)}, ${challenge('DPoP', parameters)}`;
}

function challenge(
  scheme: AuthScheme,
  { resourceMetadataUrl, ...given }: Record<string, string | undefined>,
): string {
  const parameters = {
    realm: 'api',
    ...given,
    algs: scheme === 'DPoP' ? proofAlgorithms.join(' ') : undefined,
    // RFC 9728, 5.1
    resource_metadata: resourceMetadataUrl,
  };
  const pairs = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return `${scheme} ${pairs.map(([name, value]) => `${name}="${value}"`).join(', ')}`;
}
