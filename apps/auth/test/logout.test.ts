import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { and, eq, gt } from 'drizzle-orm';
import { records } from '../src/schema.ts';
import {
  type Answer,
  authorizeUrl,
  demoWeb,
  explorer,
  issuer,
  redemption,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

suite('signing out', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  test('A26 J36 signing out kills the live tokens of every client of the session', async () => {
    const browser = auth.browser();
    const { accessToken, refreshToken, idToken } = await auth.signedIn('alice', browser);
    const redirect_uri = `${issuer}/explorer/callback`;
    const url = authorizeUrl({
      client_id: explorer.id,
      redirect_uri,
      prompt: undefined,
      scope: 'openid items:read',
    });
    const other = await auth.token({ ...redemption(await signIn(browser, url)), redirect_uri }, explorer);

    const back = 'http://localhost:9999/';
    const query = new URLSearchParams({ id_token_hint: idToken, post_logout_redirect_uri: back, state: 's' });
    const question = await browser.open(`${issuer}/logout?${query}`);
    assert.equal(auth.isDenied(accessToken), false);
    const done = await browser.submit(question, {}, { button: 'Sign out' });
    assert.equal(done.redirect, `${back}?state=s`);
    assert.equal(auth.isDenied(accessToken), true);
    assert.equal(auth.isDenied(other.body.access_token), true);
    assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
    assert.match(
      (await browser.open(authorizeUrl({ prompt: 'none' }))).redirect ?? '',
      /error=login_required/,
    );
    assert.ok((await signIn(browser)).searchParams.get('code'));
  });

  test('A26 signing out ends what a client was given twice in one session, on two pages that were open at once', async () => {
    const browser = auth.browser();
    const login = await browser.open(`${issuer}/account`);
    await browser.submit(login, { username: 'bob', password: 'bob-demo-pass' });
    const pages = [await browser.open(authorizeUrl()), await browser.open(authorizeUrl())];
    const answers: Answer['body'][] = [];
    for (const page of pages) {
      const { redirect } = await browser.submit(page, {}, { button: 'Allow' });
      const form = redemption(new URL(redirect ?? 'none:'));
      answers.push((await auth.token(form, demoWeb)).body);
    }
    const query = new URLSearchParams({ id_token_hint: answers[0].id_token });
    const question = await browser.open(`${issuer}/logout?${query}`);
    for (const { access_token } of answers) assert.equal(auth.isDenied(access_token), false);
    await browser.submit(question, {}, { button: 'Sign out' });
    for (const { access_token } of answers) assert.equal(auth.isDenied(access_token), true);
  });

  test('a form asks for signing out as an address does, and ends nothing by itself', async () => {
    const browser = auth.browser();
    const { accessToken, idToken } = await auth.signedIn('alice', browser);
    const back = 'http://localhost:9999/';
    const form = new URLSearchParams({ id_token_hint: idToken, post_logout_redirect_uri: back, state: 's' });
    const headers = { origin: 'http://localhost:9999', 'sec-fetch-site': 'cross-site' };
    const question = await browser.send(`${issuer}/logout`, form.toString(), { headers });
    assert.match(question.text, /asks to sign you out/);
    assert.equal(auth.isDenied(accessToken), false);
    const done = await browser.submit(question, {}, { button: 'Sign out' });
    assert.equal(done.redirect, `${back}?state=s`);
  });

  test('A42 signing out leads to registered addresses alone', async () => {
    const browser = auth.browser();
    const { idToken } = await auth.signedIn('alice', browser);
    for (const address of [
      'http://evil.example/',
      'http://localhost:9999/other',
      'http://localhost:9999//evil',
      'http://localhost:9999',
      'http://localhost:9999/?next=evil',
      'http://localhost:9999/#evil',
      'http://localhost:9999/%2e',
      'http://LOCALHOST:9999/',
      'http://localhost:9998/',
      'https://localhost:9999/',
      'http://localhost:9999@evil.example/',
      'http://localhost:9999\\@evil.example/',
      'http://localhost:9999%2f.evil.example/',
      'http://evil.example/http://localhost:9999/',
      'http://localhost:9999/\r\nLocation: http://evil.example',
      '//localhost:9999/',
      '///evil.example',
      '/\\evil.example',
      '/',
      'javascript:alert(1)//localhost:9999/',
      'data:text/html,x',
    ]) {
      const query = new URLSearchParams({ id_token_hint: idToken, post_logout_redirect_uri: address });
      const page = await browser.open(`${issuer}/logout?${query}`);
      assert.equal(page.status, 400, address);
    }
  });

  test('A42 signing out without a hint asks, and changes nothing before the answer', async () => {
    const browser = auth.browser();
    const { refreshToken } = await auth.signedIn('alice', browser);
    const page = await browser.open(`${issuer}/logout`);
    assert.match(page.text, /<h1>Sign out\?/);
    assert.equal((await auth.refresh(refreshToken)).status, 200);
    assert.match(
      (await browser.open(authorizeUrl({ prompt: 'none', scope: 'openid' }))).redirect ?? '',
      /code=/,
    );
  });

  test('A42 whoever is not signed in goes back at once, to a registered address alone', async () => {
    const out = (query: Record<string, string>) =>
      auth.browser().open(`${issuer}/logout?${new URLSearchParams(query)}`);
    const back = 'http://localhost:9999/';
    const known = { client_id: 'demo-web', post_logout_redirect_uri: back };
    assert.equal((await out({ ...known, state: 'a&b' })).redirect, `${back}?state=a%26b`);
    assert.equal((await out({ ...known, post_logout_redirect_uri: 'http://evil.example/' })).status, 400);
    for (const query of [{}, { post_logout_redirect_uri: 'http://evil.example/' }]) {
      const page = await out(query);
      assert.match(page.text, /<h1>Signed out/);
      assert.equal(page.redirect, undefined);
    }
  });

  test('A42 signing out when nobody is signed in leaves nothing behind for long, and a sign-in lasts all the same', async () => {
    const longest = async () => {
      const isSession = and(
        eq(records.model, 'Session'),
        gt(records.expiresAt, new Date(Date.now() + 3_600_000)),
      );
      return auth.db.$count(records, isSession);
    };
    const before = await longest();
    const browser = auth.browser();
    await browser.open(`${issuer}/logout`, { follow: false });
    assert.ok(browser.cookies.some(({ name }) => name === 'session'));
    assert.equal(await longest(), before);
    await auth.signedIn('bob', browser);
    assert.equal(await longest(), before + 1);
  });

  test('A40 a form without the token of its own session, with that of another, or of another site signs nobody out', async () => {
    const [browser, other] = [auth.browser(), auth.browser()];
    const { refreshToken } = await auth.signedIn('alice', browser);
    await auth.signedIn('bob', other);
    const page = await browser.open(`${issuer}/logout`);
    const foreign = (await other.open(`${issuer}/logout`)).forms[0]?.fields.xsrf ?? '';
    const send = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
      browser.submit(page, fields, { button: 'Sign out', headers });
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null', 'sec-fetch-site': 'cross-site' },
      { origin: issuer, 'sec-fetch-site': 'cross-site' },
      { origin: 'null', 'sec-fetch-site': 'same-site' },
    ]) {
      const { status, text } = await send({}, headers);
      assert.deepEqual([status, /<h1>/.test(text)], [403, true], JSON.stringify(headers));
    }
    assert.equal((await auth.refresh(refreshToken)).status, 200);
    const own = { origin: 'null', 'sec-fetch-site': 'same-origin' };
    assert.match((await send({}, own)).text, /<h1>Signed out/);

    const next = auth.browser();
    const again = await auth.signedIn('alice', next);
    for (const xsrf of ['', 'x', foreign]) {
      const asked = await next.open(`${issuer}/logout`);
      assert.equal((await next.submit(asked, { xsrf }, { button: 'Sign out' })).status, 400, xsrf);
    }
    assert.equal((await auth.refresh(again.refreshToken)).status, 200);
  });

  test('whoever signs out in two windows is signed out in both', async () => {
    const browser = auth.browser();
    await auth.signedIn('alice', browser);
    const [one, other] = [await browser.open(`${issuer}/logout`), await browser.open(`${issuer}/logout`)];
    for (const question of [other, one]) {
      const { status, text } = await browser.submit(question, {}, { button: 'Sign out' });
      assert.deepEqual([status, /<h1>Signed out/.test(text)], [200, true]);
    }
  });

  test('a sign-in holds though another window has stored the session again as it was before', async () => {
    const isSession = eq(records.model, 'Session');
    const known = (await auth.db.select().from(records).where(isSession)).map(({ idHash }) => idHash);
    const browser = auth.browser();
    await browser.open(`${issuer}/logout`, { follow: false });
    const before = (await auth.db.select().from(records).where(isSession)).filter(
      ({ idHash }) => !known.includes(idHash),
    );
    assert.equal(before.length, 1);
    await signIn(browser);
    await auth.db.insert(records).values(before);
    // Once it is stored anew, the database finds the other one first.
    const callback = await signIn(browser);
    assert.equal((await auth.token(redemption(callback), demoWeb)).status, 200);
  });

  test('a sign-in with another account signs the first one out, on a page that needs no script', async () => {
    const browser = auth.browser();
    const { refreshToken } = await auth.signedIn('alice', browser);
    const form = await browser.open(authorizeUrl({ prompt: 'login', scope: 'openid' }));
    const page = await browser.submit(form, { username: 'bob', password: 'bob-demo-pass' });
    assert.match(page.text, /<h1>Another account is signed in/);
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.match(policy, /form-action 'self' http:\/\/localhost:9999;/);
    assert.doesNotMatch(policy, /script-src/);
    const next = await browser.submit(page, {}, { button: 'Continue' });
    const done = next.redirect ? next : await browser.submit(next, {}, { button: 'Allow' });
    assert.match(done.redirect ?? '', /code=/);
    assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
  });
});
