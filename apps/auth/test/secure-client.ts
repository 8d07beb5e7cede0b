import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTPayload,
  SignJWT,
} from 'jose';
import { authorizeUrl, issuer, redemption, signIn, type TestAuth } from './start-test-auth.ts';

const keyFile = new URL('../../../infra/secrets/demo/demo-secure-key.json', import.meta.url);

/** The client of the demo that pushes its requests, signs assertions and has its tokens bound. */
export const secure = { id: 'demo-secure', key: JSON.parse(readFileSync(keyFile, 'utf8')) as JWK };

const now = () => Math.floor(Date.now() / 1000);

/** What such a client authenticates with: right but for what `claims` changes. */
export async function assertion(
  claims: JWTPayload = {},
  { id = secure.id, key = secure.key, alg = 'ES256' }: { id?: string; key?: JWK; alg?: string } = {},
): Promise<string> {
  const payload = { iss: id, sub: id, aud: issuer, jti: crypto.randomUUID(), exp: now() + 60, ...claims };
  return new SignJWT(payload).setProtectedHeader({ alg }).sign(await importJWK(key, alg));
}

/** The fields of a form that authenticate with this assertion, or with a new one. */
export async function authenticated(client_assertion?: string): Promise<Record<string, string>> {
  return {
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: client_assertion ?? (await assertion()),
  };
}

export type Prover = Awaited<ReturnType<typeof createProver>>;

/** A key that tokens can be bound to, and proofs by it (RFC 9449), right but for what is changed. */
export async function createProver() {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = await exportJWK(publicKey);
  return {
    thumbprint: await calculateJwkThumbprint(jwk),
    proof(method: string, path: string, { token, ...claims }: JWTPayload & { token?: string } = {}) {
      const ath = token === undefined ? {} : { ath: hash('sha256', token, 'base64url') };
      const payload = {
        htm: method,
        htu: issuer + path,
        jti: crypto.randomUUID(),
        iat: now(),
        ...ath,
        ...claims,
      };
      return new SignJWT(payload).setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk }).sign(privateKey);
    },
  };
}

/** Posts a form, authenticated as this client unless it names another, with a proof when one is given. */
export async function post(auth: TestAuth, path: string, form: Record<string, string>, proof?: string) {
  const { client_id = secure.id, client_assertion } = form;
  const isOurs = client_id === secure.id && client_assertion === undefined;
  const body = new URLSearchParams(isOurs ? { ...form, ...(await authenticated()) } : form);
  const headers: Record<string, string> = proof === undefined ? {} : { dpop: proof };
  return auth.send(path, { method: 'POST', body, headers });
}

/** The parameters of an authorization request of this client. */
export const requestOf = (changes: Record<string, string> = {}): Record<string, string> =>
  Object.fromEntries(new URL(authorizeUrl({ client_id: secure.id, ...changes })).searchParams);

/** Where a browser goes with a request that was pushed. */
export const pushedUrl = (request_uri: string, client_id = secure.id): string =>
  `${issuer}/authorize?${new URLSearchParams({ client_id, request_uri })}`;

/** The form that redeems a code which alice gave this client. */
export async function newCode(auth: TestAuth, browser = auth.browser()): Promise<Record<string, string>> {
  const { status, body } = await post(auth, '/par', requestOf());
  assert.equal(status, 201, JSON.stringify(body));
  return redemption(await signIn(browser, pushedUrl(body.request_uri)));
}

/** What the token endpoint answers when alice has signed in, with tokens bound to the prover's key. */
export async function boundTokens(auth: TestAuth, prover: Prover) {
  const { body } = await post(auth, '/token', await newCode(auth), await prover.proof('POST', '/token'));
  return body as { access_token: string; refresh_token: string; token_type: string; id_token: string };
}
