import * as oauth from 'oauth4webapi';
import { bodyOf, type Exchange, send } from '../exchange.ts';

/** The tokens that an experiment works with: its own, so that no sign-in of the visitor is harmed. */
export interface LabTokens {
  accessToken: string;
  refreshToken: string;
  idToken: string;
}

const passwords: Record<string, string> = {
  alice: 'alice-demo-pass',
  bob: 'bob-demo-pass',
  admin: 'admin-demo-pass',
  carol: 'carol-demo-pass',
  johndoe: 'secret',
};

/** Posts a form, as this client with its secret if one is named (RFC 6749, 2.3.1). */
export function post(path: string, form: Record<string, string>, client?: string): Promise<Exchange> {
  return send({
    method: 'POST',
    path,
    headers: {
      'Content-Type': 'application/x-www-form-urlencoded',
      ...(client !== undefined && { Authorization: `Basic ${btoa(client)}` }),
    },
    body: new URLSearchParams(form).toString(),
  });
}

/** Asks for tokens of a demo account, in the form for first-party clients. */
export function askAs(
  username: string,
  scope: string,
  password = passwords[username] ?? '',
): Promise<Exchange> {
  return post('/token', { grant_type: 'password', client_id: 'demo-first-party', username, password, scope });
}

/** Tokens of a demo account. @throws Error when there are none to be had */
export async function tokensOf(username: string, scope: string): Promise<LabTokens> {
  return tokensIn(await askAs(username, scope));
}

/** The tokens of an answer. @throws Error when it has none */
export function tokensIn(exchange: Exchange): LabTokens {
  const body = bodyOf(exchange) as Record<string, string> | undefined;
  if (exchange.status !== 200 || body?.access_token === undefined)
    throw new Error(
      `${exchange.path} answered ${exchange.status} ${body?.error ?? ''}, so there is nothing to try.`,
    );
  return {
    accessToken: body.access_token,
    refreshToken: body.refresh_token ?? '',
    idToken: body.id_token ?? '',
  };
}

/** Calls a route with this access token; undefined is without one. */
export function call(path: string, token?: string, headers: Record<string, string> = {}, method = 'GET') {
  const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  return send({ method, path, headers: { ...authorization, ...headers } });
}

/** Sends JSON with this access token. */
export function sendJson(method: string, path: string, token: string, json: unknown): Promise<Exchange> {
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  return send({ method, path, headers, body: JSON.stringify(json) });
}

/** The id of the account that a token speaks for. */
export async function idOf(token: string): Promise<string> {
  return String((bodyOf(await call('/users/me', token)) as { id?: string }).id);
}

/** A proof for one request by this key, for the token if it is bound already (RFC 9449, 4.2). */
export async function proofFor(
  keys: CryptoKeyPair,
  { method, path }: { method: string; path: string },
  token?: string,
): Promise<string> {
  const { SignJWT, exportJWK } = await import('jose');
  const { kty, crv, x, y } = await exportJWK(keys.publicKey);
  const hash = token && (await oauth.calculatePKCECodeChallenge(token));
  return new SignJWT({ htm: method, htu: location.origin + path, ...(hash && { ath: hash }) })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: { kty, crv, x, y } as never })
    .setIssuedAt()
    .setJti(crypto.randomUUID())
    .sign(keys.privateKey);
}

/** Bytes or text as base64url (RFC 4648, 5). */
export function base64url(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
