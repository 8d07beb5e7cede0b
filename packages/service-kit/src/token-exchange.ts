import { z } from 'zod';
import { fetchJson, parseAnswer, upstreamFault } from './fetch-json.ts';
import { Problem } from './problem.ts';

export interface ExchangeRequest {
  /** The access token of the caller. */
  subjectToken: string;
  requestId: string;
  signal: AbortSignal;
}

const ExchangedTokenSchema = z.object({
  access_token: z.string().min(1),
  token_type: z.string().regex(/^bearer$/i),
});
const OAuthErrorSchema = z.object({ error: z.string() });

/**
 * Exchanges a caller's access token for one that is good at a single other service (RFC 8693), so that this service
 * acts there with the rights of the caller and none of its own.
 * @throws Problem 401 when the caller's token is refused, 503 when the token endpoint fails us
 */
export function createTokenExchange(client: {
  tokenUrl: string;
  clientId: string;
  clientSecret: string;
  audience: string;
  scope: string;
}): (request: ExchangeRequest) => Promise<string> {
  // RFC 6749, 2.3.1: both halves are form-encoded first.
  const credentials = [client.clientId, client.clientSecret].map(encodeURIComponent).join(':');
  return async ({ subjectToken, requestId, signal }) => {
    const { status, body } = await fetchJson(client.tokenUrl, {
      signal,
      method: 'POST',
      headers: { Authorization: `Basic ${btoa(credentials)}`, 'X-Request-Id': requestId },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: subjectToken,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        audience: client.audience,
        scope: client.scope,
      }),
    });
    if (status === 200) return parseAnswer(ExchangedTokenSchema, body).access_token;
    // RFC 8693, 2.2.2 calls a bad subject token an invalid_request; many servers say invalid_grant.
    const { error } = parseAnswer(OAuthErrorSchema, body);
    if (status === 400 && ['invalid_request', 'invalid_grant'].includes(error)) throw callerRefused();
    throw upstreamFault(new Error(`the token endpoint answered ${status} ${error}`));
  };
}

/** The 401 for a caller whose token another service no longer takes. */
export function callerRefused(): Problem {
  return new Problem(401, 'The access token is no longer good', {
    headers: { 'WWW-Authenticate': 'Bearer error="invalid_token"' },
  });
}
