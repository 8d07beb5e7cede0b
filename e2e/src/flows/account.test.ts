import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { type Browser, createBrowser } from '@gatehouse/test-kit';
import { refreshTokenGrant } from 'openid-client';
import { call } from '../http.ts';
import { assertDies, assertLive } from '../revoked.ts';
import { remember } from '../secrets.ts';
import { authorizationRequest, redeem, submitPassword } from '../sign-in.ts';
import { gateway } from '../target.ts';

const scope = 'openid offline_access profile:read items:read';

/** An account that nothing else uses, made on the page that the sign-in leads to, and signed in to. */
async function newAccount() {
  const username = `e2e-${randomUUID().slice(0, 8)}`;
  const password = `${randomUUID()} at first`;
  const next = `${randomUUID()} from now on`;
  remember(password, next);
  const browser = createBrowser();
  const signIn = await browser.open(`${gateway}/account`);
  const href = /href="(\/register[^"]*)"/.exec(signIn.text)?.[1] ?? '';
  const form = await browser.open(gateway + href);
  const done = await browser.submit(form, { username, password, again: password });
  assert.match(done.text, /Now sign in/);
  const account = await submitPassword(browser, signIn, username, password);
  assert.equal(new URL(account.url).pathname, '/account', account.text);
  return { username, password, next, browser };
}

/** The tokens of `demo-web` for whoever this browser is signed in as. */
async function allow(browser: Browser) {
  const request = await authorizationRequest(scope);
  const consent = await browser.open(request.url.href);
  const { redirect } = await browser.submit(consent, {}, { button: 'Allow' });
  const tokens = await redeem(request, new URL(redirect ?? ''));
  const { config } = request;
  return { config, accessToken: tokens.access_token, refreshToken: tokens.refresh_token ?? '' };
}

test('whoever registers is a customer with a profile', async () => {
  const { username, browser } = await newAccount();
  const { accessToken } = await allow(browser);
  const { status, body } = await call<{ username: string; roles: string[] }>(`${gateway}/users/me`, {
    token: accessToken,
  });
  assert.equal(status, 200);
  assert.deepEqual([body.username, body.roles], [username, ['customer']]);
});

test('A46 a name that is taken gets the same answer as one that was free', async () => {
  const register = (username: string) =>
    call(`${gateway}/register`, { json: { username, password: 'seven grey herons' } });
  const [free, taken] = [await register(`e2e-${randomUUID().slice(0, 8)}`), await register('alice')];
  assert.equal(free.status, 202);
  assert.deepEqual([taken.status, taken.text], [free.status, free.text]);
});

test('A26 J36 a new password ends refresh tokens and live access tokens, and this browser goes on', async (t) => {
  const { username, password, next, browser } = await newAccount();
  const { config, accessToken, refreshToken } = await allow(browser);
  await assertLive(accessToken);
  const form = await browser.open(`${gateway}/account/password`);
  const account = await browser.submit(form, { current: password, password: next, again: next });
  assert.match(account.text, /Your password has been changed/);
  t.diagnostic(await assertDies(accessToken));
  await assert.rejects(refreshTokenGrant(config, refreshToken), { error: 'invalid_grant' });
  await assertLive((await allow(browser)).accessToken);

  const elsewhere = createBrowser();
  const signIn = await elsewhere.open(`${gateway}/account`);
  const refused = await submitPassword(elsewhere, signIn, username, password);
  assert.equal(refused.status, 401);
  const signedIn = await submitPassword(elsewhere, refused, username, next);
  assert.equal(new URL(signedIn.url).pathname, '/account');
});

test('A55 an application whose access is withdrawn loses its tokens, and has to ask again', async (t) => {
  const { browser } = await newAccount();
  const { config, accessToken, refreshToken } = await allow(browser);
  await assertLive(accessToken);
  const list = await browser.open(`${gateway}/account/applications`);
  assert.match(list.text, /Demo web shop/);
  const after = await browser.submit(list, {}, { button: 'Withdraw' });
  assert.match(after.text, /No application has access/);
  t.diagnostic(await assertDies(accessToken));
  await assert.rejects(refreshTokenGrant(config, refreshToken), { error: 'invalid_grant' });
  await assertLive((await allow(browser)).accessToken);
});
