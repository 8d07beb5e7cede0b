import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { Browser, Page } from '@gatehouse/test-kit';
import {
  authorizeUrl,
  demoWeb,
  issuer,
  redemption,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

suite('prompt=select_account', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth?.close());

  const choice = authorizeUrl({ prompt: 'select_account consent' });
  /** Sends what no form of the page sends, with its token. */
  const goOn = (browser: Browser, page: Page) => {
    const csrf = page.forms[0]?.fields.csrf ?? '';
    const { pathname } = new URL(page.url);
    return browser.send(`${issuer}${pathname}/continue`, new URLSearchParams({ csrf }).toString(), {
      headers: { origin: issuer, 'content-type': 'application/x-www-form-urlencoded' },
    });
  };

  test('a sign-in beside another account leaves that one what it gave, and the browser is the new one’s', async () => {
    const browser = auth.browser();
    const first = await auth.signedIn('alice', browser);
    const page = await browser.open(choice);
    assert.match(page.text, /Continue as <bdi>Alice/);
    const consent = await browser.submit(
      page,
      { username: 'bob', password: 'bob-demo-pass' },
      { form: 1, button: 'Sign in' },
    );
    const done = await browser.submit(consent, {}, { button: 'Allow' });
    const answer = new URL(done.redirect ?? '');
    const { body } = await auth.post('/token', redemption(answer), demoWeb);
    assert.equal((await auth.refresh(first.refreshToken)).status, 200);
    assert.equal((await auth.userinfo(body.access_token)).body.preferred_username, 'bob');
    const silent = await browser.open(
      authorizeUrl({ prompt: 'none', scope: 'openid', id_token_hint: body.id_token }),
    );
    assert.ok(new URL(silent.redirect ?? '').searchParams.has('code'));
  });

  test('whoever is signed in may go on as such, without a password', async () => {
    const browser = auth.browser();
    await auth.signedIn('alice', browser);
    const page = await browser.open(choice);
    const consent = await browser.submit(page);
    const done = await browser.submit(consent, {}, { button: 'Allow' });
    const { body } = await auth.post('/token', redemption(new URL(done.redirect ?? '')), demoWeb);
    assert.equal((await auth.userinfo(body.access_token)).body.preferred_username, 'alice');
  });

  test('where nobody is signed in it is a sign-in, and nobody goes on as nobody', async () => {
    const browser = auth.browser();
    const page = await browser.open(choice);
    assert.doesNotMatch(page.text, /Continue as/);
    const answer = await goOn(browser, page);
    assert.ok(answer.status >= 400 && answer.redirect === undefined, String(answer.status));
    assert.ok((await signIn(browser, choice)).searchParams.has('code'));
  });

  test('a step of another kind is no choice of an account', async () => {
    const browser = auth.browser();
    const page = await browser.open(authorizeUrl({ prompt: 'login' }));
    const answer = await goOn(browser, page);
    assert.ok(answer.status >= 400 && answer.redirect === undefined, String(answer.status));
  });
});

test('a client’s access tokens live as long as it says, where that is shorter', async (t) => {
  const auth = await startTestAuth();
  t.after(() => auth.close());
  const partner = { id: 'demo-partner', secret: 'demo-partner-secret' };
  const { body } = await auth.post(
    '/token',
    { grant_type: 'client_credentials', scope: 'items:read' },
    partner,
  );
  assert.equal(body.expires_in, 2);
});
