import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { createBrowser } from '@gatehouse/test-kit';
import { fetchUserInfo, randomPKCECodeVerifier } from 'openid-client';
import { register } from '../accounts.ts';
import { client } from '../clients.ts';
import { call } from '../http.ts';
import { assertDies, assertLive } from '../revoked.ts';
import type { User } from '../shapes.ts';
import {
  authorizationRequest,
  callbackUrl,
  passwords,
  redeem,
  signIn,
  submitPassword,
  walkPages,
} from '../sign-in.ts';
import { gateway } from '../target.ts';

test('code and PKCE: sign-in, consent, verified ID token, userinfo, and a token that works', async () => {
  // Asked for again, whatever alice has allowed before.
  const parameters = { prompt: 'consent' };
  const request = await authorizationRequest('openid profile email profile:read', parameters);
  const { steps, callback } = await walkPages(createBrowser(), request.url, 'alice');
  assert.deepEqual(steps, ['sign in', 'consent']);
  const { config } = request;
  const tokens = await redeem(request, callback);
  // A12, RFC 9207
  assert.equal(callback.searchParams.get('iss'), gateway);
  const { id, displayName, email } = demoAccounts.alice;
  assert.equal(tokens.claims()?.sub, id);
  assert.equal(tokens.claims()?.aud, 'demo-web');
  assert.equal(tokens.refresh_token, undefined);

  const userinfo = await fetchUserInfo(config, tokens.access_token, id);
  assert.equal(userinfo.name, displayName);
  assert.equal(userinfo.email, email);
  const me = await call<User>(`${gateway}/users/me`, { token: tokens.access_token });
  assert.equal(me.body.username, 'alice');
});

test('single sign-on: the same browser is asked for no password again, and for no consent given before', async () => {
  const account = await register();
  const { browser, steps } = await signIn(account, 'openid items:read');
  assert.deepEqual(steps, ['sign in', 'consent']);
  const again = await signIn(account, 'openid items:read', browser);
  assert.deepEqual(again.steps, []);
  // A55
  const wider = await signIn(account, 'openid items:read orders:read', browser);
  assert.deepEqual(wider.steps, ['consent']);
  const other = await signIn(account, 'openid items:read', createBrowser());
  assert.deepEqual(other.steps, ['sign in']);
});

test('A45 prompt=none without a session is login_required, and an error carries iss and state', async () => {
  const { url, checks } = await authorizationRequest('openid', { prompt: 'none' });
  const page = await createBrowser().open(url.href);
  const answer = new URL(page.redirect ?? '').searchParams;
  assert.equal(answer.get('error'), 'login_required');
  assert.equal(answer.get('iss'), gateway);
  assert.equal(answer.get('state'), checks.expectedState);
});

test('A55 a denied consent goes back as access_denied, and grants nothing', async () => {
  const browser = createBrowser();
  const { url } = await authorizationRequest('openid orders:read');
  const { callback } = await walkPages(browser, url, 'alice', 'Deny');
  assert.equal(callback.searchParams.get('error'), 'access_denied');
  assert.equal(callback.searchParams.get('code'), null);
  const { url: second } = await authorizationRequest('openid orders:read', { prompt: 'none' });
  const page = await browser.open(second.href);
  assert.equal(new URL(page.redirect ?? '').searchParams.get('error'), 'consent_required');
});

test('A46 the sign-in form refuses a wrong password and the disabled carol with the same page', async () => {
  const texts: string[] = [];
  for (const [username, password] of [
    ['alice', 'wrong-password'],
    ['carol', passwords.carol],
  ] as const) {
    const { url } = await authorizationRequest('openid');
    const browser = createBrowser();
    const answer = await submitPassword(browser, await browser.open(url.href), username, password);
    assert.equal(answer.redirect, undefined);
    assert.ok('Sign in' in (answer.forms[0]?.buttons ?? {}));
    // The page names its interaction in the address of the form and of the registration.
    const uid = new URL(answer.url).pathname.split('/').at(-1) ?? '';
    const ownParts = [username, answer.forms[0]?.fields.csrf ?? '', uid];
    texts.push(
      ownParts.reduce((text, part) => text.replaceAll(part, '…'), `${answer.status} ${answer.text}`),
    );
  }
  assert.match(texts[0] ?? '', /^401 /);
  assert.equal(texts[1], texts[0]);
});

test('A40 a form without its token, with another one, or from another site changes nothing', async () => {
  const { url } = await authorizationRequest('openid');
  const browser = createBrowser();
  const page = await browser.open(url.href);
  const credentials = { username: 'alice', password: passwords.alice };
  const forged: Record<string, string>[] = [{ csrf: '' }, { csrf: 'A'.repeat(43) }];
  for (const fields of forged) {
    const answer = await browser.submit(page, { ...credentials, ...fields });
    assert.equal(answer.status, 403);
  }
  const headers = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
  const crossSite = await browser.submit(page, credentials, { headers });
  assert.equal(crossSite.status, 403);
  // A49: and the real one is answered by 303.
  const { status } = await browser.submit(page, credentials, { follow: false });
  assert.equal(status, 303);
});

test('A43 the pages of one browser are no use to another, and signing in gives a new session', async () => {
  const { url } = await authorizationRequest('openid');
  const alice = createBrowser();
  const page = await alice.open(url.href);
  const session = () => alice.cookies.find(({ name }) => name.endsWith('session'))?.value;
  const before = session();
  const thief = createBrowser();
  assert.equal((await thief.open(page.url)).status, 400);
  await submitPassword(alice, page, 'alice', passwords.alice);
  assert.ok(session());
  assert.notEqual(session(), before);
});

test('A44 session cookies are HttpOnly and SameSite, and with TLS Secure and of this host alone', async () => {
  const { browser } = await signIn('alice', 'openid');
  const session = browser.cookies.find(({ name }) => name.endsWith('session'));
  const isTls = gateway.startsWith('https:');
  assert.equal(session?.name, isTls ? '__Host-session' : 'session');
  assert.ok(!('domain' in session.attributes));
  for (const { name, attributes } of browser.cookies) {
    assert.ok('httponly' in attributes, name);
    assert.match(attributes.samesite ?? '', /^(lax|strict)$/i, name);
    assert.equal('secure' in attributes, isTls, name);
  }
});

test('A05 a request without PKCE, or with plain, is refused', async () => {
  for (const method of [undefined, 'plain']) {
    const { url } = await authorizationRequest('openid');
    if (method) url.searchParams.set('code_challenge_method', method);
    else for (const name of ['code_challenge', 'code_challenge_method']) url.searchParams.delete(name);
    const page = await createBrowser().open(url.href);
    assert.equal(new URL(page.redirect ?? '').searchParams.get('error'), 'invalid_request');
  }
});

test('A04 implicit, hybrid and unknown response types are refused', async () => {
  for (const type of ['token', 'id_token', 'code token', 'code id_token', 'none', 'nonsense']) {
    const { url } = await authorizationRequest('openid', { response_type: type });
    const page = await createBrowser().open(url.href);
    const { searchParams, hash } = new URL(page.redirect ?? '');
    const answer = new URLSearchParams(hash.slice(1) || searchParams);
    assert.match(answer.get('error') ?? '', /^(unsupported_response_type|unauthorized_client)$/, type);
    assert.equal(answer.get('access_token') ?? answer.get('id_token') ?? answer.get('code'), null, type);
  }
});

test('A01 A03 an unknown client or a redirect that is not registered gets a page, never a redirect', async () => {
  const faults: Record<string, string>[] = [
    { client_id: 'nobody' },
    { redirect_uri: 'http://localhost:9999/callback/' },
    { redirect_uri: 'http://localhost:9999/callback?next=1' },
    { redirect_uri: 'http://localhost:9999/callback/../other' },
    { redirect_uri: 'http://localhost:9998/callback' },
    { redirect_uri: 'http://LOCALHOST.evil.example:9999/callback' },
    { redirect_uri: 'http://localhost:9999@evil.example/callback' },
    { redirect_uri: 'javascript:alert(1)' },
  ];
  for (const fault of faults) {
    const { url } = await authorizationRequest('openid');
    for (const [name, value] of Object.entries(fault)) url.searchParams.set(name, value);
    const page = await createBrowser().open(url.href);
    assert.equal(page.status, 400, JSON.stringify(fault));
    assert.equal(page.redirect, undefined);
    // A41
    assert.match(page.headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/);
  }
});

test('A13 state comes back unchanged, whatever is in it', async () => {
  for (const state of ['x'.repeat(2000), '"><script>alert(1)</script>', 'ünïcode ☃ %00 + &='])
    await assert.doesNotReject(async () => {
      const { url } = await authorizationRequest('openid', { state, prompt: 'none' });
      const page = await createBrowser().open(url.href);
      assert.equal(new URL(page.redirect ?? '').searchParams.get('state'), state);
    });
});

test('A06 A10 a code is good for its verifier, its client and its redirect alone', async () => {
  const browser = createBrowser();
  const newCode = async () => {
    const request = await authorizationRequest('openid');
    const { callback } = await walkPages(browser, request.url, 'alice');
    return { ...request, callback };
  };
  const wrongVerifier = await newCode();
  wrongVerifier.checks.pkceCodeVerifier = randomPKCECodeVerifier();
  await assert.rejects(redeem(wrongVerifier, wrongVerifier.callback), { error: 'invalid_grant' });

  const otherClient = await newCode();
  otherClient.config = await client('demo-cli');
  await assert.rejects(redeem(otherClient, otherClient.callback), { error: 'invalid_grant' });

  const otherRedirect = await newCode();
  const elsewhere = new URL(otherRedirect.callback.href.replace('localhost', '127.0.0.1'));
  await assert.rejects(redeem(otherRedirect, elsewhere), { error: 'invalid_grant' });

  const good = await newCode();
  await assert.doesNotReject(redeem(good, good.callback));
});

test('A08 a code sent twice is refused, and what it gave dies at the gateway and at each service', async (t) => {
  const request = await authorizationRequest('openid offline_access profile:read items:read');
  const { callback } = await walkPages(createBrowser(), request.url, 'bob');
  assert.equal(callback.origin + callback.pathname, callbackUrl);
  const tokens = await redeem(request, callback);
  await assertLive(tokens.access_token);
  await assert.rejects(redeem(request, callback), { error: 'invalid_grant' });
  t.diagnostic(await assertDies(tokens.access_token));
  const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token ?? '' };
  const authorization = `Basic ${btoa('demo-web:demo-web-secret')}`;
  const refreshed = await call<{ error: string }>(`${gateway}/token`, { form, headers: { authorization } });
  assert.equal(refreshed.body.error, 'invalid_grant');
});

test('A09 of 20 parallel redemptions of one code exactly one succeeds, three times over', async () => {
  const browser = createBrowser();
  for (let round = 0; round < 3; round += 1) {
    const request = await authorizationRequest('openid profile:read');
    const { callback } = await walkPages(browser, request.url, 'alice');
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => redeem(request, callback)));
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') assert.equal(outcome.reason.error, 'invalid_grant');
    }
  }
});
