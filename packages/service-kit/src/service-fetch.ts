import {
  allowInsecureRequests,
  ClientSecretBasic,
  Configuration,
  customFetch,
  genericGrantRequest,
  type TokenEndpointResponse,
} from 'openid-client';
import { boundedFetch, fetchJson } from './fetch-json.ts';

/** Where and as whom this service gets tokens for others, as ClientConfigSchema has it. */
export interface Client {
  TOKEN_URL: string;
  CLIENT_ID: string;
  CLIENT_SECRET: string;
}

/** Another service, with the audience and the scope of tokens for it. */
export interface OtherService {
  url: string;
  audience: string;
  scope: string;
}

/** Sends a request to the other service: a GET, unless told otherwise. */
export type ServiceFetch = (
  path: string,
  request?: { method?: 'POST' | 'PUT' | 'DELETE'; json?: unknown },
) => Promise<{ status: number; body: unknown }>;

/** What is told with every request that is a part of one call. */
export interface Call {
  /** Headers by which logs and traces know what belongs together. */
  correlation: Record<string, string>;
  /** The deadline of all of it. */
  signal: AbortSignal;
}

/** A deadline shorter than the 2 s that the gateway waits, so that it is our 503 that the client sees. */
export const callDeadline = (): AbortSignal => AbortSignal.timeout(1_500);

/**
 * Asks the token endpoint for a token.
 * @throws ResponseBodyError when that refuses, and whatever else keeps it from answering
 */
export async function requestToken(
  client: Client,
  grantType: string,
  parameters: Record<string, string>,
  { correlation, signal }: Call,
): Promise<TokenEndpointResponse> {
  const server = { issuer: new URL(client.TOKEN_URL).origin, token_endpoint: client.TOKEN_URL };
  // While one secret takes the place of another, the line of the new one comes first.
  const [secret] = client.CLIENT_SECRET.split(/\r?\n/, 1);
  const authentication = ClientSecretBasic(secret);
  const config = new Configuration(server, client.CLIENT_ID, undefined, authentication);
  // Between services the network may be without TLS; the address is configuration, never input.
  allowInsecureRequests(config);
  config[customFetch] = (url, init) => {
    const headers = new Headers(init.headers);
    for (const name in correlation) headers.set(name, correlation[name] as string);
    return boundedFetch(url, { method: init.method, body: init.body ?? null, headers, signal });
  };
  const tokens = await genericGrantRequest(config, grantType, parameters);
  if (tokens.token_type !== 'bearer') throw new Error('the token is no bearer token');
  return tokens;
}

/**
 * Sends requests to the other service with this token.
 * @param headersOfAll besides the token and the correlation
 */
export function fetchWith(
  service: OtherService,
  token: string,
  { correlation, signal }: Call,
  headersOfAll: Record<string, string> = {},
): ServiceFetch {
  return (path, { method, json } = {}) => {
    const headers = {
      ...headersOfAll,
      ...correlation,
      Authorization: `Bearer ${token}`,
      ...(json !== undefined && { 'Content-Type': 'application/json' }),
    };
    const body = json === undefined ? null : JSON.stringify(json);
    return fetchJson(new URL(path, service.url).href, { method: method ?? 'GET', headers, body, signal });
  };
}
