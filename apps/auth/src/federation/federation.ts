import { isDatabaseUnavailable, type Logger } from '@gatehouse/service-kit';
import {
  AuthorizationResponseError,
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  type Configuration,
  calculatePKCECodeChallenge,
  discovery,
  enableNonRepudiationChecks,
  fetchUserInfo,
  type IDToken,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
  type UserInfoResponse,
} from 'openid-client';
import type { FederationAttempts } from './federation-attempts.ts';
import { type FederationSettings, isInsecure } from './federation-settings.ts';

/** Who signed in at the provider: a name for life, and what the provider says about its bearer. */
export interface FederatedIdentity {
  issuer: string;
  subject: string;
  /** When the provider asked for credentials, in seconds; undefined when it does not tell. */
  authenticatedAt: number | undefined;
  /** What is worth knowing of somebody new. */
  profile(): Promise<Partial<UserInfoResponse>>;
}

/** Why nobody is signed in: `denied` there, an answer that is `untrusted`, `stale` credentials, or no answer at all. */
export type FederationFault = 'denied' | 'untrusted' | 'stale' | 'unavailable';

/** A sign-in at the provider that came to nothing; `message` is for the log. */
export class FederationError extends Error {
  override name = 'FederationError';
  readonly fault: FederationFault;
  constructor(fault: FederationFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

export interface Federation {
  /** What the sign-in page calls the provider. */
  readonly name: string;
  /**
   * Where the browser of this interaction signs in.
   * @param demandFresh the provider is to ask for credentials, whoever it knows already
   * @throws FederationError when the provider cannot be reached in time
   */
  begin(interactionUid: string, demandFresh: boolean): Promise<URL>;
  /**
   * Who came back with this answer, which works once (RFC 6749, 4.1.2; OpenID Connect Core 1.0, 3.1.3.7; RFC 9207).
   * Undefined when it answers nothing that began in this interaction.
   * @throws FederationError
   */
  complete(interactionUid: string, answer: URLSearchParams): Promise<FederatedIdentity | undefined>;
}

interface FederationDependencies {
  settings: FederationSettings;
  attempts: FederationAttempts;
  /** Where the provider sends its answers. */
  redirectUri: string;
  logger: Logger;
}

/** Where the provider sends its answers, below the issuer. */
export const federationCallback = '/interaction/federation/callback';

const timeoutSeconds = 2;
const metadataLifetimeMs = 10 * 60_000;
const clockToleranceSeconds = 30;

/** Sign-in at another OpenID provider, by the code flow with PKCE, state and nonce; it is first asked when it is needed. */
export function createFederation({
  settings,
  attempts,
  redirectUri,
  logger,
}: FederationDependencies): Federation {
  const { name } = settings;
  const knownConfiguration = keep(metadataLifetimeMs, () => discover(settings));

  async function configuration(): Promise<Configuration> {
    try {
      return await knownConfiguration();
    } catch (error) {
      throw new FederationError('unavailable', describe(error));
    }
  }

  return {
    name,

    async begin(interactionUid, demandFresh) {
      const config = await configuration();
      const codeVerifier = randomPKCECodeVerifier();
      const attempt = { interactionUid, codeVerifier, nonce: randomNonce(), demandFresh, startedAt: now() };
      // The interaction stands in front, so that the answer finds the one browser that has its cookie.
      const state = `${interactionUid}.${randomState()}`;
      await attempts.add(state, attempt);
      return buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope: 'openid profile email',
        state,
        nonce: attempt.nonce,
        code_challenge: await calculatePKCECodeChallenge(codeVerifier),
        code_challenge_method: 'S256',
        ...(demandFresh && { max_age: '0' }),
      });
    },

    async complete(interactionUid, answer) {
      const state = answer.get('state') ?? '';
      if (interactionOfState(state) !== interactionUid) return undefined;
      const attempt = await attempts.take(state);
      if (attempt?.interactionUid !== interactionUid) return undefined;
      const config = await configuration();
      try {
        const url = new URL(redirectUri);
        url.search = answer.toString();
        const tokens = await authorizationCodeGrant(config, url, {
          expectedState: state,
          expectedNonce: attempt.nonce,
          pkceCodeVerifier: attempt.codeVerifier,
        });
        const claims = tokens.claims();
        if (claims === undefined || !isSubject(claims.sub))
          throw new FederationError('untrusted', 'no ID token, or one of nobody');
        if (attempt.demandFresh) requireFresh(claims, attempt.startedAt);
        return {
          issuer: claims.iss,
          subject: claims.sub,
          authenticatedAt: claims.auth_time,
          profile: () => profileOf(config, tokens.access_token, claims),
        };
      } catch (error) {
        throw toFederationError(error);
      }
    },
  };

  async function profileOf(config: Configuration, accessToken: string, claims: IDToken) {
    if (config.serverMetadata().userinfo_endpoint === undefined) return claims;
    try {
      return { ...claims, ...(await fetchUserInfo(config, accessToken, claims.sub)) };
    } catch (error) {
      logger.warn({ reason: describe(error) }, 'the provider tells nothing about its subject');
      return claims;
    }
  }
}

/** The interaction that a state of ours names; undefined for any other text. */
export function interactionOfState(state: unknown): string | undefined {
  return /^([\w-]{10,64})\.[\w-]{43}$/.exec(typeof state === 'string' ? state : '')?.[1];
}

async function discover(settings: FederationSettings): Promise<Configuration> {
  const { issuer, clientId } = settings;
  const isLocal = issuer.startsWith('http:');
  const config = await discovery(new URL(issuer), clientId, undefined, authenticateWith(settings), {
    // In the code flow the signature of the ID token is checked only when asked for.
    execute: [enableNonRepudiationChecks, ...(isLocal ? [allowInsecureRequests] : [])],
    timeout: timeoutSeconds,
  });
  const { authorization_endpoint: authorizationEndpoint = '' } = config.serverMetadata();
  if (!URL.canParse(authorizationEndpoint) || isInsecure(authorizationEndpoint)) {
    throw new Error('the authorization endpoint of the provider is not https');
  }
  return config;
}

// OpenID Connect Discovery 1.0, 3, and Registration 1.0, 2: who says nothing means client_secret_basic. A provider that takes
// both may still hold each client to its own.
function authenticateWith({ clientSecret, authMethod }: FederationSettings): ClientAuth {
  return (server, client, body, headers) => {
    const taken = server.token_endpoint_auth_methods_supported ?? [];
    const isPostAlone = taken.includes('client_secret_post') && !taken.includes('client_secret_basic');
    const isPost = authMethod === undefined ? isPostAlone : authMethod === 'client_secret_post';
    (isPost ? ClientSecretPost : ClientSecretBasic)(clientSecret)(server, client, body, headers);
  };
}

// OpenID Connect Core 1.0, 2: at most 255 ASCII characters.
function isSubject(subject: string): boolean {
  return /^[\x20-\x7e]{1,255}$/.test(subject);
}

function requireFresh({ auth_time: authTime }: IDToken, startedAt: number): void {
  if (authTime === undefined || authTime < startedAt - clockToleranceSeconds) {
    throw new FederationError('stale', 'the provider did not ask for credentials');
  }
}

const providerTroubles = new Set(['server_error', 'temporarily_unavailable']);

function toFederationError(error: unknown): Error {
  if (error instanceof FederationError || isDatabaseUnavailable(error)) return error as Error;
  if (error instanceof AuthorizationResponseError) {
    const fault = providerTroubles.has(error.error) ? 'unavailable' : 'denied';
    return new FederationError(fault, describe(error));
  }
  return new FederationError(isOutage(error) ? 'unavailable' : 'untrusted', describe(error));
}

function isOutage(error: unknown): boolean {
  const { code, cause, status } = (error ?? {}) as { code?: string; cause?: unknown; status?: number };
  if (code === 'OAUTH_TIMEOUT' || code === 'OAUTH_ABORT') return true;
  if (typeof status === 'number') return status >= 500;
  if (cause instanceof Response) return cause.status >= 500;
  // What fetch throws when there is no connection.
  return error instanceof TypeError || cause instanceof TypeError;
}

// Causes hold claims and answers, which are not for the log.
function describe(error: unknown): string {
  const { message, code, error: oauthError } = (error ?? {}) as Record<string, unknown>;
  return [oauthError, code, message]
    .filter((part) => typeof part === 'string')
    .join(': ')
    .slice(0, 300);
}

/** Makes a value once for `lifetimeMs`; a failure is not kept. */
function keep<Value>(lifetimeMs: number, make: () => Promise<Value>): () => Promise<Value> {
  let kept: { value: Promise<Value>; until: number } | undefined;
  return () => {
    if (kept && kept.until > performance.now()) return kept.value;
    const value = make();
    const fresh = { value, until: performance.now() + lifetimeMs };
    kept = fresh;
    value.catch(() => {
      if (kept === fresh) kept = undefined;
    });
    return value;
  };
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
