import { randomBytes } from 'node:crypto';
import { createBrowser } from '@gatehouse/test-kit';
import { calculatePKCECodeChallenge } from 'openid-client';

const alicePassword = 'alice-demo-pass';

/** What alice gets for her password. */
export interface Tokens {
  access: string;
  refresh: string | undefined;
}

/** Signs alice in at the gateway, for every scope that the load needs and others besides. */
export async function signIn(gateway: string, scope = ''): Promise<Tokens> {
  const { body } = await post(`${gateway}/token`, {
    grant_type: 'password',
    client_id: 'demo-first-party',
    scope: `profile:read items:read orders:read ${scope}`.trim(),
    username: 'alice',
    password: alicePassword,
  });
  const { access_token, refresh_token } = body as { access_token?: string; refresh_token?: string };
  if (access_token === undefined) throw new Error(`no token: ${JSON.stringify(body)}`);
  return { access: access_token, refresh: refresh_token };
}

/**
 * Takes alice through sign-in and consent for demo-cli, each request at the address that `next` names for it.
 * @returns the form that redeems her code
 */
export async function authorize(issuer: string, next: () => string): Promise<Record<string, string>> {
  const code_verifier = randomBytes(32).toString('base64url');
  const request = { client_id: 'demo-cli', redirect_uri: 'http://127.0.0.1:9999/callback' };
  const url = new URL('/authorize', issuer);
  url.search = `${new URLSearchParams({
    ...request,
    response_type: 'code',
    scope: 'openid offline_access items:read',
    prompt: 'consent',
    code_challenge: await calculatePKCECodeChallenge(code_verifier),
    code_challenge_method: 'S256',
  })}`;
  const browser = createBrowser({
    connectTo: {
      get [issuer]() {
        return next();
      },
    },
  });
  let page = await browser.open(url.href);
  page = await browser.submit(page, { username: 'alice', password: alicePassword }, { button: 'Sign in' });
  page = await browser.submit(page, {}, { button: 'Allow' });
  const code = new URL(page.redirect ?? page.url).searchParams.get('code');
  if (code === null) throw new Error(`no code: ${page.status}`);
  return { ...request, grant_type: 'authorization_code', code, code_verifier };
}

/** @returns the status of the answer: 200 once the token is revoked for good */
export async function revoke(gateway: string, token: string): Promise<number> {
  return (await post(`${gateway}/revoke`, { client_id: 'demo-first-party', token })).status;
}

/** Posts a form, and reads the answer, whatever it is. */
export async function post(url: string, form: Record<string, string>) {
  const signal = AbortSignal.timeout(10_000);
  const answer = await fetch(url, { method: 'POST', body: new URLSearchParams(form), signal });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
}

/** What a path of the gateway answers to a token. */
export async function statusOf(gateway: string, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(`${gateway}/items`, { headers, signal: AbortSignal.timeout(10_000) });
  await answer.arrayBuffer();
  return answer.status;
}

/** The id of the key that signed a token. */
export function keyIdOf(token: string): string {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;
}
