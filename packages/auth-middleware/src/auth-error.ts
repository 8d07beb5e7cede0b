/** The error codes of RFC 6750, section 3.1, and two of our own: no credentials at all, and trouble on our side. */
export type AuthErrorCode =
  | 'no_credentials'
  | 'invalid_request'
  | 'invalid_token'
  | 'insufficient_scope'
  | 'unavailable';

const statusOf = {
  no_credentials: 401,
  invalid_request: 400,
  invalid_token: 401,
  insufficient_scope: 403,
  unavailable: 503,
} as const;

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
    {
      cause,
      ...challenge
    }: { cause?: unknown; scope?: string; resourceMetadataUrl?: string | undefined } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = statusOf[code];
    const header =
      code === 'unavailable'
        ? { 'Retry-After': '1' }
        : { 'WWW-Authenticate': bearerChallenge(code, message, challenge) };
    this.headers = { ...header, 'Cache-Control': 'no-store' };
  }
}

/** RFC 6750, 3: whoever sent no credentials is told no error. The message must keep to %x20-21 / %x23-5B / %x5D-7E. */
function bearerChallenge(
  code: AuthErrorCode,
  message: string,
  { scope, resourceMetadataUrl }: { scope?: string; resourceMetadataUrl?: string | undefined },
): string {
  const parameters = ['realm="api"'];
  if (code !== 'no_credentials') parameters.push(`error="${code}"`, `error_description="${message}"`);
  if (scope !== undefined) parameters.push(`scope="${scope}"`);
  // RFC 9728, 5.1
  if (resourceMetadataUrl !== undefined) parameters.push(`resource_metadata="${resourceMetadataUrl}"`);
  return `Bearer ${parameters.join(', ')}`;
}
