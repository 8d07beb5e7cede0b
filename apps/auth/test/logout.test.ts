import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import {
  authorizeUrl,
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

  test('A26 signing out kills the live tokens of every client of the session', async () => {
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

  test('A42 signing out leads to registered addresses alone', async () => {
    const browser = auth.browser();
    const { idToken } = await auth.signedIn('alice', browser);
    for (const address of [
      'http://evil.example/',
      'http://localhost:9999/other',
      'http://localhost:9999//evil',
    ]) {
      const query = new URLSearchParams({ id_token_hint: idToken, post_logout_redirect_uri: address });
      const page = await browser.open(`${issuer}/logout?${query}`);
      assert.equal(page.status, 400, address);
    }
  });
});
