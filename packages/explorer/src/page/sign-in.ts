import * as oauth from 'oauth4webapi';
import { answers, taken } from './channel.ts';

/** What a sign-in or a renewal gives. It is kept in the memory of the page alone. */
export interface Tokens {
  accessToken: string;
  refreshToken?: string | undefined;
  /** Of the sign-in, or of the newest renewal. */
  idToken: string;
  scope: string;
  /** By the clock of this page, in milliseconds. */
  expiresAt: number;
}

export const clientId = 'explorer';

const client: oauth.Client = { client_id: clientId };
const authentication = oauth.None();
export const redirectUri = `${location.origin}/explorer/callback`;
// The issuer is this origin, which only a developer's own machine serves without TLS.
const options = { [oauth.allowInsecureRequests]: location.protocol === 'http:' };

let discovered: Promise<oauth.AuthorizationServer> | undefined;

/** What the authorization server says of itself (RFC 8414). */
export function authorizationServer(): Promise<oauth.AuthorizationServer> {
  discovered ??= (async () => {
    const issuer = new URL(location.origin);
    const response = await oauth.discoveryRequest(issuer, { ...options, signal: deadline() });
    return oauth.processDiscoveryResponse(issuer, response);
  })();
  discovered.catch(() => {
    discovered = undefined;
  });
  return discovered;
}

/** A code, with what belongs to it. */
interface AskedCode {
  /** The whole answer, validated. */
  answer: URLSearchParams;
  code: string;
  verifier: string;
  nonce: string;
}

/**
 * Asks for an authorization code with PKCE (RFC 7636), in a window of its own. Who closes it says so by `leaving`: a window
 * at another provider cannot be told from a closed one.
 * @throws Error in words for whoever signs in
 */
export async function askForCode(
  parameters: Record<string, string>,
  leaving?: AbortSignal,
): Promise<AskedCode> {
  // Browsers open windows on a click, not some time after it.
  const popup = window.open('about:blank', '_blank', 'popup,width=520,height=720');
  if (!popup) throw new Error('The browser did not allow the window of the sign-in.');
  try {
    const server = await authorizationServer();
    const verifier = oauth.generateRandomCodeVerifier();
    const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
    const url = new URL(String(server.authorization_endpoint));
    url.search = new URLSearchParams({
      client_id: clientId,
      response_type: 'code',
      redirect_uri: redirectUri,
      state,
      nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      ...parameters,
    }).toString();
    if (leaving?.aborted) throw new Error(cancelled);
    const answered = answerOf(state, leaving);
    popup.location = url.href;
    const answer = oauth.validateAuthResponse(server, client, await answered, state);
    return { answer, code: answer.get('code') ?? '', verifier, nonce };
  } catch (error) {
    popup.close();
    throw new Error(wordsFor(error), { cause: error });
  }
}

/**
 * Signs somebody in.
 * @param scopes those of the API; a name and a refresh token are asked for besides
 * @throws Error in words for whoever signs in
 */
export async function signIn(scopes: readonly string[], leaving: AbortSignal): Promise<Tokens> {
  const parameters = {
    scope: ['openid', 'profile', 'offline_access', ...scopes].join(' '),
    // Whoever is signed in already stays so; and a refresh token is given with consent alone.
    prompt: 'select_account consent',
  };
  const { answer, verifier, nonce } = await askForCode(parameters, leaving);
  const server = await authorizationServer();
  try {
    const response = await oauth.authorizationCodeGrantRequest(
      server,
      client,
      authentication,
      answer,
      redirectUri,
      verifier,
      { ...options, signal: deadline() },
    );
    const checks = { expectedNonce: nonce, requireIdToken: true };
    const result = await oauth.processAuthorizationCodeResponse(server, client, response, checks);
    return toTokens(result, result.id_token ?? '');
  } catch (error) {
    throw new Error(wordsFor(error), { cause: error });
  }
}

/** New tokens for a refresh token, which is used up by it. */
export async function renew({ refreshToken, idToken }: Tokens): Promise<Tokens> {
  if (refreshToken === undefined) throw new Error('There is no refresh token.');
  const server = await authorizationServer();
  const response = await oauth.refreshTokenGrantRequest(server, client, authentication, refreshToken, {
    ...options,
    signal: deadline(),
  });
  const result = await oauth.processRefreshTokenResponse(server, client, response);
  return toTokens({ refresh_token: refreshToken, ...result }, result.id_token ?? idToken);
}

/** Whether the token endpoint has answered, and the answer was a no. */
export const isRefusal = (error: unknown): boolean => error instanceof oauth.ResponseBodyError;

/** Ends a token, and everything that came of the same sign-in (RFC 7009). */
export async function revoke(token: string): Promise<void> {
  const server = await authorizationServer();
  const response = await oauth.revocationRequest(server, client, authentication, token, {
    ...options,
    signal: deadline(),
  });
  await oauth.processRevocationResponse(response);
}

const cancelled = 'The sign-in was cancelled.';
const deadline = () => AbortSignal.timeout(10_000);

/** The answer with this state: other windows of the explorer have answers of their own. */
function answerOf(state: string, leaving?: AbortSignal): Promise<URLSearchParams> {
  const channel = answers();
  return new Promise((resolve, reject) => {
    const tooLate = setTimeout(() => finish(() => reject(new Error('Nobody has signed in.'))), 10 * 60_000);
    leaving?.addEventListener('abort', () => finish(() => reject(new Error(cancelled))));
    channel.addEventListener('message', ({ data }) => {
      const answer = new URLSearchParams(String(data));
      if (answer.get('state') !== state) return;
      channel.postMessage(taken);
      finish(() => resolve(answer));
    });
    function finish(settle: () => void) {
      clearTimeout(tooLate);
      channel.close();
      settle();
    }
  });
}

function toTokens(
  result: Pick<oauth.TokenEndpointResponse, 'access_token' | 'refresh_token' | 'scope' | 'expires_in'>,
  idToken: string,
): Tokens {
  return {
    accessToken: result.access_token,
    refreshToken: result.refresh_token,
    idToken,
    scope: result.scope ?? '',
    expiresAt: Date.now() + (result.expires_in ?? 0) * 1000,
  };
}

function wordsFor(error: unknown): string {
  if (error instanceof oauth.AuthorizationResponseError)
    return error.error === 'access_denied' ? cancelled : `The authorization server answered ${error.error}.`;
  if (error instanceof oauth.ResponseBodyError) return `The token endpoint answered ${error.error}.`;
  if (error instanceof Error && error.name === 'TimeoutError')
    return 'The authorization server does not answer.';
  return error instanceof Error ? error.message : String(error);
}
