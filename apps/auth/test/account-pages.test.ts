import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { createMemoryDenylist } from '@gatehouse/denylist';
import type { Browser, Page } from '@gatehouse/test-kit';
import { type SQL, sql } from 'drizzle-orm';
import {
  fromSomewhere,
  goodPassword,
  newName,
  register,
  signedInAsNew,
  signInToAccount,
} from './registering.ts';
import {
  authorizeUrl,
  callback,
  demoWeb,
  explorer,
  issuer,
  redemption,
  rowsOf,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const password = goodPassword;
const next = 'eleven brown otters';

suite('the account pages', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  const rows = (statement: SQL) => rowsOf(auth.db, statement);
  const eventsOf = async (username: string) => {
    const events = await rows(sql`
      select event, outcome, client_id from auth.audit_events
      where account_id = (select id from auth.accounts where username = ${username})
      and event in ('password-change', 'consent-withdrawal', 'sign-out') order by id`);
    return events.map(({ event, outcome }) => `${event} ${outcome}`);
  };
  const signsIn = async (username: string, tried: string) =>
    (await auth.password({ username, password: tried })).status === 200;

  /** What a client gets for the account that this browser is signed in to. */
  async function tokensOf(browser: Browser, client: { id: string } = demoWeb, redirect_uri = callback) {
    const url = authorizeUrl({ client_id: client.id, redirect_uri });
    const consent = await browser.open(url);
    const answer = await browser.submit(consent, {}, { button: 'Allow' });
    const code = new URL(answer.redirect ?? answer.url);
    const { status, body } = await auth.token({ ...redemption(code), redirect_uri }, client);
    assert.equal(status, 200, JSON.stringify(body));
    return { accessToken: body.access_token, refreshToken: body.refresh_token };
  }
  const isSignedIn = async (browser: Browser) =>
    !/error=login_required/.test(
      (await browser.open(authorizeUrl({ prompt: 'none', scope: 'openid' }))).redirect ?? '',
    );
  const page = (browser: Browser, path: string): Promise<Page> => browser.open(issuer + path);

  test('whoever is not signed in signs in first and comes back, and the code on the way is good for nothing', async () => {
    const username = newName();
    await register(auth, { username, password });
    for (const path of ['/account', '/account/password', '/account/applications?x=//evil.example']) {
      const login = await page(auth.browser(), path);
      assert.match(new URL(login.url).pathname, /^\/interaction\//);
      assert.match(login.text, /to continue to <strong><bdi>your account/);
    }
    const browser = auth.browser();
    const login = await page(browser, '/account');
    let answer = await browser.submit(login, { username, password }, { follow: false });
    assert.equal(answer.status, 303, 'A49');
    while (answer.redirect && !answer.redirect.includes('code=')) {
      answer = await browser.open(answer.redirect, { follow: false });
    }
    const cameBack = new URL(answer.redirect ?? '');
    assert.equal(cameBack.origin + cameBack.pathname, `${issuer}/account/signed-in`);
    const account = await browser.open(cameBack.href);
    assert.equal(account.url, `${issuer}/account`);
    // Without another name it stands there once.
    assert.match(account.text, new RegExp(`signed in as <strong><bdi>${username}</bdi></strong>\\.`));
    const redeemed = await auth.token(
      { ...redemption(cameBack), redirect_uri: `${issuer}/account/signed-in` },
      { id: 'account-pages' },
    );
    assert.equal(redeemed.body.error, 'invalid_grant');
  });

  test('whoever cancels the sign-in is told, and sees nothing of an account', async () => {
    const browser = auth.browser();
    const cancelled = await browser.submit(await page(browser, '/account'), {}, { button: 'Cancel' });
    assert.equal(cancelled.status, 401);
    assert.match(cancelled.text, /role="alert">You are not signed in. <a href="\/account">Try again<\/a>/);
  });

  test('A26 J36 a new password ends every other session, every refresh token and every access token', async () => {
    const { username, browser } = await signedInAsNew(auth);
    const tokens = await tokensOf(browser);
    const elsewhere = auth.browser();
    await signInToAccount(elsewhere, username);
    const others = await tokensOf(elsewhere);
    const copied = browser.cookies.map((cookie) => ({ ...cookie }));
    assert.equal(auth.isDenied(tokens.accessToken), false);

    const form = await page(browser, '/account/password');
    const fields = { current: password, password: next, again: next };
    const answer = await browser.submit(form, fields, { follow: false });
    assert.equal(answer.status, 303, 'A49');
    for (const { accessToken, refreshToken } of [tokens, others]) {
      assert.equal(auth.isDenied(accessToken), true);
      assert.equal(await auth.isActive(accessToken, demoWeb), false);
      assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
    }
    assert.equal(await isSignedIn(elsewhere), false);
    const thief = auth.browser();
    thief.cookies.push(...copied);
    assert.equal(await isSignedIn(thief), false, 'the session has a new name');
    const account = await browser.open(answer.redirect ?? '');
    assert.equal(new URL(account.url).pathname, '/account');
    assert.match(account.text, /role="status">Your password has been changed/);

    assert.equal(await signsIn(username, password), false);
    assert.ok(await signsIn(username, next));
    const after = await tokensOf(browser);
    assert.equal((await auth.userinfo(after.accessToken)).status, 200, 'this browser goes on');
    assert.deepEqual(await eventsOf(username), ['password-change success']);
  });

  test('V6.2.3 the password stays unless the current one is given, and the new one is good and given twice', async () => {
    const { username, browser } = await signedInAsNew(auth);
    const tokens = await tokensOf(browser);
    let form = await page(browser, '/account/password');
    // Password managers look at fields of text alone, shown or not.
    assert.match(
      form.text,
      new RegExp(`<input name="username" value="${username}" autocomplete="username" hidden>`),
    );
    const attempts: [string, Record<string, string>][] = [
      ['current', { current: 'not the password', password: next, again: next }],
      ['current', { current: '', password: next, again: next }],
      ['password', { current: password, password: 'password1', again: 'password1' }],
      ['password', { current: password, password: `${username}!`, again: `${username}!` }],
      ['again', { current: password, password: next, again: `${next}x` }],
    ];
    for (const [name, fields] of attempts) {
      form = await browser.submit(form, fields);
      assert.equal(form.status, 422);
      const control = new RegExp(`<input id="${name}"[^>]*>`).exec(form.text)?.[0] ?? '';
      assert.match(control, new RegExp(`autofocus aria-invalid="true" aria-describedby="${name}-fault`));
      assert.match(form.text, new RegExp(`id="${name}-fault" role="alert"`));
      assert.equal(form.forms[0]?.fields.current, '');
    }
    assert.ok(await signsIn(username, password));
    assert.equal(auth.isDenied(tokens.accessToken), false);
    assert.deepEqual(await eventsOf(username), ['password-change failure', 'password-change failure']);
    const done = await browser.submit(form, { current: password, password: next, again: next });
    assert.equal(done.status, 200);
    assert.doesNotMatch(auth.log.join(), new RegExp(`${next}|${password}`));
  });

  test('of two changes at once, only one password is the new one, and it is the one that was confirmed', async () => {
    const { username, browser } = await signedInAsNew(auth);
    const form = await page(browser, '/account/password');
    const wishes = [next, `${next} and more`];
    const answers = await Promise.all(
      wishes.map((wish) =>
        browser.submit(
          form,
          { current: password, password: wish, again: wish },
          // From one network they would take turns.
          { follow: false, headers: fromSomewhere() },
        ),
      ),
    );
    const confirmed = wishes.filter((_, index) => answers[index]?.status === 303);
    assert.equal(confirmed.length, 1, answers.map(({ status }) => status).join());
    for (const wish of wishes) assert.equal(await signsIn(username, wish), confirmed.includes(wish));
  });

  test('the current password can be guessed as rarely as at the sign-in', async () => {
    const { browser } = await signedInAsNew(auth);
    const form = await page(browser, '/account/password');
    const headers = fromSomewhere();
    const statuses: number[] = [];
    for (let guess = 0; guess < 12; guess += 1) {
      const fields = { current: `guess number ${guess}`, password: next, again: next };
      statuses.push((await browser.submit(form, fields, { headers })).status);
    }
    assert.deepEqual(statuses, [...Array(10).fill(422), 429, 429]);
  });

  test('A55 an application is listed in plain words, and loses everything when its access is withdrawn', async () => {
    const { username, browser } = await signedInAsNew(auth);
    assert.match((await page(browser, '/account/applications')).text, /No application has access/);
    const explorerCallback = `${issuer}/explorer/callback`;
    const web = await tokensOf(browser);
    const kept = await tokensOf(browser, explorer, explorerCallback);
    const list = await page(browser, '/account/applications');
    assert.match(list.text, /<h2><bdi>Demo web shop<\/bdi><\/h2>\s*<p class="hint">since <time datetime="20/);
    assert.match(list.text, /See items <code>items:read<\/code>/);
    assert.equal(list.forms.length, 2);
    const form = list.forms.findIndex(({ fields }) => fields.client === demoWeb.id);

    const answer = await browser.submit(list, {}, { form, follow: false });
    assert.equal(answer.status, 303, 'A49');
    assert.equal(auth.isDenied(web.accessToken), true);
    assert.equal(await auth.isActive(web.accessToken, demoWeb), false);
    assert.equal((await auth.refresh(web.refreshToken)).body.error, 'invalid_grant');
    assert.equal(auth.isDenied(kept.accessToken), false);
    assert.equal((await auth.refresh(kept.refreshToken, {}, explorer)).status, 200);
    const after = await browser.open(answer.redirect ?? '');
    assert.match(after.text, /role="status"/);
    assert.doesNotMatch(after.text, /Demo web shop/);
    assert.match(after.text, /Gatehouse explorer/);
    const asked = await browser.open(authorizeUrl({ prompt: undefined }));
    assert.match(asked.text, /See items <code>items:read/, 'it is asked about again');
    const twice = await browser.submit(list, {}, { form });
    assert.deepEqual([twice.status, twice.url], [200, after.url]);
    assert.match(twice.text, /role="status">The application has no access any more/);
    assert.deepEqual(await eventsOf(username), ['consent-withdrawal success']);
  });

  test('A55 a withdrawal that fails has withdrawn nothing, and can be repeated', async (t) => {
    const { username, browser } = await signedInAsNew(auth);
    const { refreshToken } = await tokensOf(browser);
    const list = await page(browser, '/account/applications');
    const noMore = sql`alter table auth.revocations add constraint no_more check (false) not valid`;
    await auth.db.execute(noMore);
    const asBefore = sql`alter table auth.revocations drop constraint if exists no_more`;
    t.after(() => auth.db.execute(asBefore));
    assert.equal((await browser.submit(list)).status, 500);
    await auth.db.execute(asBefore);
    assert.deepEqual(await eventsOf(username), []);
    assert.match((await page(browser, '/account/applications')).text, /Demo web shop/);
    assert.equal((await browser.submit(list, {}, { follow: false })).status, 303);
    assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
    assert.deepEqual(await eventsOf(username), ['consent-withdrawal success']);
  });

  test('A26 signing out everywhere ends every session and every token, this one too', async () => {
    const { username, browser } = await signedInAsNew(auth);
    const elsewhere = auth.browser();
    await signInToAccount(elsewhere, username);
    const all = [await tokensOf(browser), await tokensOf(elsewhere)];
    const question = await page(browser, '/account/sign-out-everywhere');
    assert.equal(auth.isDenied(all[0]?.accessToken), false, 'asking alone ends nothing');
    const answer = await browser.submit(question, {}, { follow: false });
    assert.equal(answer.status, 303);
    for (const { accessToken, refreshToken } of all) {
      assert.equal(auth.isDenied(accessToken), true);
      assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
    }
    assert.equal(await isSignedIn(browser), false);
    assert.equal(await isSignedIn(elsewhere), false);
    assert.match((await browser.open(answer.redirect ?? '')).text, /You are signed out/);
    assert.ok((await eventsOf(username)).includes('sign-out success'));
    assert.equal((await signInToAccount(browser, username)).status, 200);
  });

  test('A26 signing out here ends this session with its tokens, and no other', async () => {
    const { username, browser, account } = await signedInAsNew(auth);
    const elsewhere = auth.browser();
    await signInToAccount(elsewhere, username);
    const [here, there] = [await tokensOf(browser), await tokensOf(elsewhere)];
    const href = /href="([^"]+)">Sign out<\/a>/.exec(account.text)?.[1] ?? '';
    await browser.submit(await page(browser, href), {}, { button: 'Sign out' });
    assert.equal(await isSignedIn(browser), false);
    assert.equal(auth.isDenied(here.accessToken), true);
    assert.equal(await isSignedIn(elsewhere), true);
    assert.equal(auth.isDenied(there.accessToken), false);
  });

  test('A40 a form without the token of its own session, or of another site, changes nothing', async () => {
    const [mine, other] = [await signedInAsNew(auth), await signedInAsNew(auth)];
    const tokens = await tokensOf(mine.browser);
    const forms: [string, Record<string, string>][] = [
      ['/account/password', { current: password, password: next, again: next }],
      ['/account/applications', {}],
      ['/account/sign-out-everywhere', {}],
    ];
    const foreign = (await page(other.browser, '/account/password')).forms[0]?.fields.csrf ?? '';
    for (const [path, fields] of forms) {
      const form = await page(mine.browser, path);
      for (const csrf of ['', 'x', foreign]) {
        const refused = await mine.browser.submit(form, { ...fields, csrf });
        assert.equal(refused.status, 403, path);
        assert.match(refused.text, /has expired.*please open its page anew/);
      }
      for (const headers of [
        { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
        { origin: 'null', 'sec-fetch-site': 'same-site' },
      ]) {
        assert.equal((await mine.browser.submit(form, fields, { headers })).status, 403, path);
      }
      const sent = new URLSearchParams({ ...form.forms[0]?.fields, ...fields });
      assert.equal((await mine.browser.open(`${form.url}?${sent}`)).status, 200, 'GET changes nothing');
      const nobody = await auth.browser().send(form.url, sent.toString());
      assert.match(new URL(nobody.url).pathname, /^\/interaction\//, 'without the session');
    }
    assert.ok(await signsIn(mine.username, password));
    assert.equal(auth.isDenied(tokens.accessToken), false);
    assert.equal((await auth.refresh(tokens.refreshToken)).status, 200);
    assert.deepEqual(await eventsOf(mine.username), []);
  });

  test('A41 V3.4 every page forbids framing, storing and whatever it does not need', async () => {
    const { browser } = await signedInAsNew(auth);
    const paths = [
      '',
      '/password',
      '/applications',
      '/sign-out-everywhere',
      '/nothing',
      '/signed-in?error=x',
    ];
    for (const path of paths) {
      const { headers, text } = await page(browser, `/account${path}`);
      assert.match(
        headers.get('content-security-policy') ?? '',
        /^default-src 'none'.*frame-ancestors 'none'/,
      );
      assert.equal(headers.get('x-frame-options'), 'DENY');
      assert.equal(headers.get('cache-control'), 'no-store');
      assert.match(text, /<html lang="en">[\s\S]*<h1>/);
      assert.doesNotMatch(text, /<script|style="| on\w+="/);
    }
    assert.equal((await page(browser, '/account/nothing')).status, 404);
    const posted = await browser.send(`${issuer}/account`, '');
    assert.equal(posted.status, 403);
  });

  test('V7.4.2 an account that is disabled is shown nothing and changes nothing any more', async () => {
    const { username, browser } = await signedInAsNew(auth);
    const form = await page(browser, '/account/password');
    await auth.db.execute(sql`update auth.accounts set disabled_at = now() where username = ${username}`);
    const shown = await page(browser, '/account');
    assert.match(new URL(shown.url).pathname, /^\/interaction\//);
    await browser.submit(form, { current: password, password: next, again: next });
    await auth.db.execute(sql`update auth.accounts set disabled_at = null where username = ${username}`);
    assert.ok(await signsIn(username, password));
  });

  test('whoever signs in elsewhere has no password here, and gets none', async () => {
    const { username, browser, account } = await signedInAsNew(auth);
    assert.match(account.text, /Change password/);
    const form = await page(browser, '/account/password');
    await auth.db.execute(sql`update auth.accounts set password_hash = null where username = ${username}`);
    const without = await page(browser, '/account');
    assert.match(without.text, /account elsewhere/);
    assert.doesNotMatch(without.text, /Change password/);
    assert.equal((await page(browser, '/account/password')).status, 404);
    const fields = { current: password, password: next, again: next };
    assert.equal((await browser.submit(form, fields)).status, 404);
    assert.equal(await signsIn(username, next), false);
  });
});

test('a password that is changed as everything is signed out is good, and the page does not deny it', async () => {
  const denylist = createMemoryDenylist();
  let meanwhile = async () => {};
  const append: typeof denylist.append = async (revocations) => {
    await denylist.append(revocations);
    await meanwhile();
  };
  const auth = await startTestAuth({ denylist: { ...denylist, append } });
  try {
    const { username, browser } = await signedInAsNew(auth);
    const form = await browser.open(`${issuer}/account/password`);
    meanwhile = async () => {
      await auth.db.execute(sql`update auth.accounts set sessions_not_before = sessions_not_before + 1
        where username = ${username}`);
    };
    const page = await browser.submit(form, { current: password, password: next, again: next });
    meanwhile = async () => {};
    assert.equal(page.status, 503);
    assert.match(page.text, /Your new password may be good already/);
    assert.equal((await signInToAccount(auth.browser(), username, next)).url, `${issuer}/account`);
  } finally {
    await auth.close();
  }
});

test('a password that is changed while the denylist is away is good, and the page does not deny it', async () => {
  const denylist = createMemoryDenylist();
  let isAway = false;
  const append: typeof denylist.append = async (revocations) => {
    if (isAway) throw new Error('the denylist is away');
    await denylist.append(revocations);
  };
  const auth = await startTestAuth({ denylist: { ...denylist, append } });
  try {
    const { username, browser } = await signedInAsNew(auth);
    const form = await browser.open(`${issuer}/account/password`);
    isAway = true;
    const page = await browser.submit(form, { current: password, password: next, again: next });
    isAway = false;
    assert.equal(page.status, 503);
    assert.ok(Number(page.headers.get('retry-after')) > 0);
    assert.match(page.text, /Your new password may be good already/);
    assert.equal((await signInToAccount(auth.browser(), username, next)).url, `${issuer}/account`);
  } finally {
    await auth.close();
  }
});
