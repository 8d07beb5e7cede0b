import { AuthError, callerOf, schemeOf } from '@gatehouse/auth-middleware';
import type { Request } from 'express';
import { ResponseBodyError } from 'openid-client';
import { upstreamFault } from './problem.ts';
import { correlationOf } from './request-context.ts';
import {
  type Call,
  type Client,
  callDeadline,
  fetchWith,
  type OtherService,
  requestToken,
  type ServiceFetch,
} from './service-fetch.ts';

const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange';

/**
 * Calls another service on behalf of the caller, never in its own name: the caller's access token is exchanged for
 * one that is good at that service alone (RFC 8693).
 * @returns a function of a guarded request; what it resolves to works for 1.5 s from then on
 * @throws AuthError 401 when the caller's token is refused, Problem 503 when the token endpoint or the service fails us
 */
export function createDelegatedFetch(
  client: Client,
  service: OtherService,
): (req: Request) => Promise<ServiceFetch> {
  async function exchange(req: Request, call: Call): Promise<string> {
    try {
      const subject = {
        subject_token: accessTokenOf(req),
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        audience: service.audience,
        scope: service.scope,
      };
      return (await requestToken(client, tokenExchange, subject, call)).access_token;
    } catch (error) {
      if (error instanceof ResponseBodyError && error.error === 'invalid_grant') throw callerRefused(req);
      throw upstreamFault(error);
    }
  }

  return async (req) => {
    const call = { correlation: correlationOf(req), signal: callDeadline() };
    const token = await exchange(req, call);
    // The address that the gateway has seen. The exchange is told none: there it is we who authenticate.
    const address = req.headers['x-forwarded-for'];
    const told = typeof address === 'string' ? { 'X-Forwarded-For': address } : undefined;
    const send = fetchWith(service, token, call, told);
    return async (path, request) => {
      const answer = await send(path, request);
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
