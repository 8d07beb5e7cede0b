import { randomUUID } from 'node:crypto';
import { upstreamFault } from './problem.ts';
import {
  type Client,
  callDeadline,
  fetchWith,
  type OtherService,
  requestToken,
  type ServiceFetch,
} from './service-fetch.ts';

// So that a token does not expire on its way.
const marginSeconds = 30;

/**
 * Calls another service in this one's own name (RFC 6749, 4.4), for work that nobody is waiting for: whoever asks for
 * something is acted for, see `createDelegatedFetch`. A token is used until shortly before it expires.
 * @returns a function; what it resolves to works for 1.5 s from then on
 * @throws Problem 503 when the token endpoint or the service fails us
 */
export function createOwnFetch(client: Client, service: OtherService): () => Promise<ServiceFetch> {
  let token: Promise<string> | undefined;
  let staleAt = 0;

  function currentToken(): Promise<string> {
    if (token === undefined || performance.now() > staleAt) {
      staleAt = Number.POSITIVE_INFINITY;
      token = newToken();
    }
    return token;
  }

  async function newToken(): Promise<string> {
    try {
      const call = { correlation: { 'x-request-id': randomUUID() }, signal: callDeadline() };
      const wanted = { resource: service.audience, scope: service.scope };
      const answer = await requestToken(client, 'client_credentials', wanted, call);
      staleAt = performance.now() + ((answer.expires_in ?? 0) - marginSeconds) * 1000;
      return answer.access_token;
    } catch (error) {
      token = undefined;
      throw upstreamFault(error);
    }
  }

  return async () => {
    const call = { correlation: { 'x-request-id': randomUUID() }, signal: callDeadline() };
    const send = fetchWith(service, await currentToken(), call);
    return async (path, request) => {
      const answer = await send(path, request);
      if (answer.status !== 401) return answer;
      token = undefined;
      throw upstreamFault(new Error('the service refuses our token'));
    };
  };
}
