import { AuthError, callerOf, schemeOf } from '@gatehouse/auth-middleware';
import type { Request } from 'express';
import {
  allowInsecureRequests,
  ClientSecretBasic,
  Configuration,
  customFetch,
  genericGrantRequest,
  ResponseBodyError,
} from 'openid-client';
import { boundedFetch, fetchJson, upstreamFault } from './fetch-json.ts';
import { requestIdOf } from './request-context.ts';

/** Sends a request to the other service: a GET, unless told otherwise. */
type DelegatedFetch = (
  path: string,
  request?: { method?: 'POST' | 'PUT'; json?: unknown },
) => Promise<{ status: number; body: unknown }>;

// Shorter than the 2 s that the gateway waits, so that it is our 503 that the client sees.
const timeoutMs = 1_500;

const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange';

/**
 * Calls another service on behalf of the caller, never in its own name: the caller's access token is exchanged for
 * one that is good at that service alone (RFC 8693).
 * @param target where the service is, and where, as whom, for which audience and scope to get tokens for it
 * @returns a function of a guarded request; what it resolves to works for 1.5 s from then on
 * @throws AuthError 401 when the caller's token is refused, Problem 503 when the token endpoint or the service fails us
 */
export function createDelegatedFetch(target: {
  url: string;
  tokenUrl: string;
  clientId: string;
  clientSecret: string;
  audience: string;
  scope: string;
}): (req: Request) => Promise<DelegatedFetch> {
  async function exchange(req: Request, signal: AbortSignal): Promise<string> {
    const server = { issuer: new URL(target.tokenUrl).origin, token_endpoint: target.tokenUrl };
    const config = new Configuration(
      server,
      target.clientId,
      undefined,
      ClientSecretBasic(target.clientSecret),
    );
    // Between services the network may be without TLS; the address is configuration, never input.
    allowInsecureRequests(config);
    config[customFetch] = (url, init) => {
      const headers = new Headers(init.headers);
      headers.set('X-Request-Id', requestIdOf(req));
      return boundedFetch(url, { method: init.method, body: init.body ?? null, headers, signal });
    };
    try {
      const tokens = await genericGrantRequest(config, tokenExchange, {
        subject_token: accessTokenOf(req),
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        audience: target.audience,
        scope: target.scope,
      });
      if (tokens.token_type !== 'bearer') throw new Error('the exchanged token is no bearer token');
      return tokens.access_token;
    } catch (error) {
      if (error instanceof ResponseBodyError && error.error === 'invalid_grant') throw callerRefused(req);
      throw upstreamFault(error);
    }
  }

  return async (req) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const token = await exchange(req, signal);
    return async (path, { method = 'GET', json } = {}) => {
      const headers = new Headers({ Authorization: `Bearer ${token}`, 'X-Request-Id': requestIdOf(req) });
      // The address that the gateway has seen. The exchange is told none: there it is we who authenticate.
      const address = req.headers['x-forwarded-for'];
      if (typeof address === 'string') headers.set('X-Forwarded-For', address);
      if (json !== undefined) headers.set('Content-Type', 'application/json');
      const body = json === undefined ? null : JSON.stringify(json);
      const answer = await fetchJson(new URL(path, target.url).href, { method, headers, body, signal });
      // The token was made a moment ago: whoever it speaks for has been signed out since.
      if (answer.status === 401) throw callerRefused(req);
      return answer;
    };
  };
}

function accessTokenOf(req: Request): string {
  const [, token] = /^(?:bearer|dpop) (.+)$/i.exec(req.headers.authorization ?? '') ?? [];
  if (token === undefined) throw new Error('only a guarded request can be acted for');
  return token;
}

function callerRefused(req: Request): AuthError {
  return new AuthError('invalid_token', 'The access token is no longer good', {
    scheme: schemeOf(callerOf(req)),
  });
}
