import assert from 'node:assert/strict';
import { type Browser, createBrowser, type Page } from '@gatehouse/test-kit';
import {
  authorizationCodeGrant,
  buildAuthorizationUrl,
  type Configuration,
  calculatePKCECodeChallenge,
  genericGrantRequest,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';
import { type ClientId, client } from './clients.ts';
import { assertHardened } from './http.ts';
import { remember } from './secrets.ts';

/** The demo accounts that can sign in, or try to. */
export const passwords = {
  alice: 'alice-demo-pass',
  bob: 'bob-demo-pass',
  admin: 'admin-demo-pass',
  carol: 'carol-demo-pass',
  johndoe: 'secret',
};

export type Username = keyof typeof passwords;

/** Who signs in: an account of the demo by its name, or any other one. */
export type Account = Username | { username: string; password: string };

/** An access token of the account by the password grant, with exactly these scopes. */
export async function tokenOf(username: Username, scope: string): Promise<string> {
  const parameters = { username, password: passwords[username], scope };
  const config = await client('demo-first-party');
  const { access_token } = await genericGrantRequest(config, 'password', parameters);
  return access_token;
}

/** An authorization request on its way: what to open, and what the answer has to be checked against. */
export interface AuthorizationRequest {
  config: Configuration;
  url: URL;
  checks: { pkceCodeVerifier: string; expectedState: string; expectedNonce: string };
}

export const callbackUrl = 'http://localhost:9999/callback';

/** A request by `demo-web`, or by another client, with PKCE, state and nonce of its own. */
export async function authorizationRequest(
  scope: string,
  parameters: Record<string, string> = {},
  clientId: ClientId = 'demo-web',
): Promise<AuthorizationRequest> {
  const config = await client(clientId);
  const checks = {
    pkceCodeVerifier: randomPKCECodeVerifier(),
    expectedState: parameters.state ?? randomState(),
    expectedNonce: randomNonce(),
  };
  const url = buildAuthorizationUrl(config, {
    redirect_uri: callbackUrl,
    scope,
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    code_challenge: await calculatePKCECodeChallenge(checks.pkceCodeVerifier),
    code_challenge_method: 'S256',
    // OpenID Connect Core, 11: without it offline_access is ignored.
    ...(scope.includes('offline_access') && { prompt: 'consent' }),
    ...parameters,
  });
  return { config, url, checks };
}

type Step = 'sign in' | 'consent';

/** Walks through the pages that the server shows until it redirects to the client; `steps` tells which there were. */
export async function walkPages(
  browser: Browser,
  url: URL,
  account: Account,
  answer: 'Allow' | 'Deny' = 'Allow',
): Promise<{ callback: URL; steps: Step[] }> {
  const { username, password } =
    typeof account === 'string' ? { username: account, password: passwords[account] } : account;
  const steps: Step[] = [];
  let page = await browser.open(url.href);
  while (page.redirect === undefined) {
    assertHardened(page.headers, page.url);
    const step = stepOf(page);
    if (steps.includes(step)) throw new Error(`the page "${step}" came a second time`);
    steps.push(step);
    if (step === 'consent') page = await browser.submit(page, {}, { button: answer });
    else page = await submitPassword(browser, page, username, password);
  }
  // The pages' addresses show what these two hold; without their signatures they open nothing.
  const secretCookies = browser.cookies.filter(({ name }) => name !== 'interaction' && name !== 'resume');
  remember(...secretCookies.map(({ value }) => value));
  const callback = new URL(page.redirect);
  remember(...callback.searchParams.getAll('code'));
  return { callback, steps };
}

/** Fills in the sign-in form and sends it. */
export function submitPassword(
  browser: Browser,
  page: Page,
  username: string,
  password: string,
): Promise<Page> {
  remember(password);
  return browser.submit(page, { username, password }, { button: 'Sign in' });
}

function stepOf({ forms, status, text }: Page): Step {
  const buttons = forms[0]?.buttons ?? {};
  if ('Sign in' in buttons) return 'sign in';
  assert.ok('Allow' in buttons, `neither a sign-in nor a consent page: ${status} ${text}`);
  return 'consent';
}

/** Signs the account in to `demo-web` by code and PKCE, through the pages, and redeems the code. */
export async function signIn(account: Account, scope: string, browser = createBrowser()) {
  const request = await authorizationRequest(scope);
  const { callback, steps } = await walkPages(browser, request.url, account);
  const tokens = await redeem(request, callback);
  return { ...request, browser, callback, steps, tokens };
}

/** Redeems the code that the callback brought; the library checks state, issuer, nonce and the ID token. */
export function redeem({ config, checks }: AuthorizationRequest, callback: URL) {
  return authorizationCodeGrant(config, callback, checks);
}
