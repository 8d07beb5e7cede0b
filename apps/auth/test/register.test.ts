import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type SQL, sql } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import { fromSomewhere, goodPassword, newName, register } from './registering.ts';
import { assertSameTime } from './same-time.ts';
import {
  authorizeUrl,
  demoWeb,
  issuer,
  redemption,
  rowsOf,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const password = goodPassword;
const polyglot = `"'><script>alert(1)</script>`;

suite('registering', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  const rows = (statement: SQL) => rowsOf(auth.db, statement);
  const accountsNamed = (username: string) =>
    rows(
      sql`select id, roles, display_name, email, email_verified from auth.accounts where username = ${username}`,
    );
  const signsIn = async (username: string, tried = password) =>
    (await auth.password({ username, password: tried })).status === 200;

  test('the sign-in page leads to the registration and back, and the new account to the client', async () => {
    const browser = auth.browser();
    const username = newName();
    const login = await browser.open(authorizeUrl());
    const href = /href="(\/register\?interaction=[\w-]+)"/.exec(login.text)?.[1] ?? '';
    const form = await browser.open(issuer + href);
    assert.match(form.text, new RegExp(`href="${new URL(login.url).pathname}"`));
    const fields = {
      username,
      displayName: 'New Person',
      email: 'new@example.com',
      password,
      again: password,
    };
    const done = await browser.submit(form, fields, { headers: fromSomewhere() });
    assert.equal(done.status, 200);
    const back = /<a class="button" href="([^"]+)">Sign in/.exec(done.text)?.[1] ?? '';
    assert.equal(issuer + back, login.url);
    const consent = await browser.submit(await browser.open(issuer + back), { username, password });
    assert.match(consent.text, /signed in as <strong><bdi>New Person/);
    const answer = await browser.submit(consent, {}, { button: 'Allow' });
    const { body } = await auth.token(redemption(new URL(answer.redirect ?? '')), demoWeb);
    assert.deepEqual(decodeJwt(body.access_token).roles, ['customer']);
    const [account] = await accountsNamed(username);
    assert.equal(account?.email, 'new@example.com');
    assert.equal(account?.email_verified, false);
  });

  test('a program registers with JSON, and may leave out all but name and password', async () => {
    const username = newName();
    const { status, headers, body } = await register(auth, {
      username: ` ${username.toUpperCase()} `,
      password,
    });
    assert.equal(status, 202);
    assert.match(body.message, /sign in/);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.ok(await signsIn(username));
    const [account] = await accountsNamed(username);
    assert.deepEqual([account?.display_name, account?.email, account?.roles], [username, null, ['customer']]);
  });

  test('A46 a name that is taken gets the answer that a free one gets, from page and API alike', async () => {
    const taken = ['alice', 'ALICE', 'carol'];
    const answers = await Promise.all(
      [newName(), ...taken].map(async (username) => {
        const { status, headers, body } = await register(auth, { username, password });
        const told = [...headers].filter(([name]) => !['date', 'x-request-id'].includes(name));
        return JSON.stringify([status, told, body]);
      }),
    );
    assert.equal(new Set(answers).size, 1, answers.join('\n'));

    const pages = await Promise.all(
      [newName(), ...taken].map(async (username) => {
        const browser = auth.browser();
        const form = await browser.open(`${issuer}/register`);
        const fields = { username, password, again: password };
        const { status, url, text } = await browser.submit(form, fields, { headers: fromSomewhere() });
        return JSON.stringify([status, url, text]);
      }),
    );
    assert.equal(new Set(pages).size, 1);
    assert.equal(await signsIn('alice'), false, 'the account that was there is as it was');
    assert.ok(await signsIn('alice', 'alice-demo-pass'));
    assert.equal((await accountsNamed('alice'))[0]?.display_name, 'Alice Example');
  });

  test('A46 a name that is taken takes as long as a free one', async (t) => {
    const ask = async (username: string) =>
      assert.equal((await register(auth, { username, password })).status, 202);
    await assertSameTime(
      t,
      () => ask(newName()),
      () => ask('alice'),
    );
  });

  test('of many who ask for one name at once, exactly one has it', async () => {
    const username = newName();
    const passwords = Array.from({ length: 10 }, (_, index) => `${password} number ${index}`);
    const answers = await Promise.all(passwords.map((each) => register(auth, { username, password: each })));
    assert.ok(answers.every(({ status }) => status === 202));
    assert.equal((await accountsNamed(username)).length, 1);
    const right: boolean[] = [];
    for (const each of passwords) right.push(await signsIn(username, each));
    assert.equal(right.filter(Boolean).length, 1);
  });

  test('what does not fit is a problem that names each field, and makes no account', async () => {
    const pointers = async (body: unknown) => {
      const answer = await register(auth, body);
      assert.equal(answer.status, 422);
      assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
      return answer.body.errors.map(({ pointer }: { pointer: string }) => pointer).sort();
    };
    const good = { username: newName(), password };
    assert.deepEqual(await pointers({}), ['#/password', '#/username']);
    assert.deepEqual(await pointers({ ...good, roles: ['admin'] }), ['#/roles']);
    assert.deepEqual(await pointers({ ...good, email: 'nobody' }), ['#/email']);
    assert.deepEqual(await pointers({ ...good, displayName: 'x'.repeat(121) }), ['#/displayName']);
    assert.deepEqual(await pointers({ ...good, displayName: 'gnp.\u202Eexe' }), ['#/displayName']);
    assert.deepEqual(await pointers({ ...good, password: 'short' }), ['#/password']);
    const names = ['ab', 'x'.repeat(33), '-abc', 'abc.', 'a b', 'аlice', 'nul\0name', 'a@example.com', '<b>'];
    const reserved = ['admin', 'Admin', ' ROOT ', 'gatehouse', 'demo-web', 'account-pages'];
    for (const username of [...names, ...reserved]) {
      assert.deepEqual(await pointers({ username, password }), ['#/username'], username);
    }
    assert.equal((await register(auth, '{')).status, 400);
    assert.equal((await register(auth, good, { 'content-type': 'text/plain' })).status, 415);
    assert.equal((await accountsNamed(good.username)).length, 0);
    const wrong = await auth.send('/register', { method: 'PUT' });
    assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'GET, HEAD, POST']);
  });

  test('the form says what is wrong beside each field, keeps what was typed but for the password, and escapes it', async () => {
    const browser = auth.browser();
    const form = await browser.open(`${issuer}/register`);
    const typed = { username: polyglot, displayName: polyglot, password: 'password1', again: 'password2' };
    const page = await browser.submit(form, typed);
    assert.equal(page.status, 422);
    for (const name of ['username', 'password', 'again']) {
      const control = new RegExp(`<input id="${name}"[^>]*`).exec(page.text)?.[0] ?? '';
      assert.match(control, new RegExp(`aria-invalid="true" aria-describedby="${name}-fault`), name);
      assert.match(page.text, new RegExp(`id="${name}-fault" role="alert">[A-Z]`), name);
    }
    assert.equal(page.forms[0]?.fields.username, polyglot);
    assert.ok(!page.text.includes('<script>'));
    assert.doesNotMatch(page.text, /password[12]"/);
    const username = newName();
    const fields = { username, displayName: '', password, again: password };
    const done = await browser.submit(page, fields, { headers: fromSomewhere() });
    assert.equal(done.status, 200, 'the corrected form is good');
    assert.ok(await signsIn(username));
  });

  test('V6.2.7 passwords can be pasted and kept by a password manager', async () => {
    const { text, headers } = await auth.browser().open(`${issuer}/register`);
    assert.match(text, /id="username"[^>]*autocomplete="username"/);
    for (const name of ['password', 'again']) {
      assert.match(text, new RegExp(`id="${name}"[^>]*type="password"[^>]*autocomplete="new-password"`));
    }
    assert.doesNotMatch(text, /maxlength|onpaste|pattern=/);
    assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'.*frame-ancestors 'none'/);
  });

  test('A40 a form without the token of its own browser, or of another site, registers nobody', async () => {
    const [browser, attacker] = [auth.browser(), auth.browser()];
    const form = await browser.open(`${issuer}/register`);
    const foreign = (await attacker.open(`${issuer}/register`)).forms[0]?.fields.csrf ?? '';
    const username = newName();
    const fields = { username, password, again: password };
    for (const csrf of ['', 'x', foreign]) {
      assert.equal((await browser.submit(form, { ...fields, csrf })).status, 403);
    }
    for (const headers of [
      { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
      { origin: issuer, 'sec-fetch-site': 'same-site' },
    ]) {
      assert.equal((await browser.submit(form, fields, { headers })).status, 403);
    }
    const body = new URLSearchParams({ ...fields, csrf: form.forms[0]?.fields.csrf ?? '' }).toString();
    assert.equal((await auth.browser().send(form.url, body)).status, 403, 'without the cookie');
    assert.equal((await browser.send(form.url, `${body}&username=other`)).status, 400, 'twice');
    await browser.open(`${issuer}/register?${body}`);
    assert.equal((await accountsNamed(username)).length, 0);
    const answer = await browser.submit(form, fields, { headers: fromSomewhere(), follow: false });
    assert.equal(answer.status, 303, 'A49');
    assert.equal((await accountsNamed(username)).length, 1);
  });

  test('A42 the registration leads back to a sign-in here, and nowhere else', async () => {
    for (const address of [
      'https://evil.example',
      '//evil.example',
      '../account',
      'a/../../x',
      'javascript:1',
      '"',
    ]) {
      const url = `${issuer}/register?interaction=${encodeURIComponent(address)}`;
      for (const page of [
        await auth.browser().open(url),
        await auth.browser().open(url.replace('?', '/done?')),
      ]) {
        assert.equal(page.status, 200);
        assert.match(page.text, /href="\/account">Sign in/);
        assert.ok(!page.text.includes('evil'));
      }
    }
  });

  test('one network registers so often and no more, and another one goes on', async () => {
    const here = { 'x-forwarded-for': '198.51.100.7' };
    const statuses = new Map<number, number>();
    for (let count = 0; count < 62; count += 1) {
      const { status } = await register(auth, { username: 'alice', password }, here);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    assert.deepEqual(
      [...statuses],
      [
        [202, 60],
        [429, 2],
      ],
    );
    const refused = await register(auth, { username: newName(), password }, here);
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
    const browser = auth.browser();
    const form = await browser.open(`${issuer}/register`);
    const fields = { username: newName(), password, again: password };
    assert.equal((await browser.submit(form, fields, { headers: here })).status, 429);
    assert.equal((await register(auth, { username: newName(), password })).status, 202);
  });

  test('each registration is on record, with neither password nor name, and so is one for a name that is taken', async () => {
    const username = newName();
    const address = '198.51.100.99';
    const headers = { 'x-forwarded-for': address };
    for (let time = 0; time < 2; time += 1)
      await register(auth, { username, password: `${password}!` }, headers);
    const events = await rows(
      sql`select event, outcome, account_id, request_id, detail from auth.audit_events where address = ${address} order by id`,
    );
    const [account] = await accountsNamed(username);
    assert.deepEqual(
      events.map(({ event, outcome, account_id }) => [event, outcome, account_id]),
      [
        ['registration', 'success', account?.id],
        ['registration', 'failure', null],
      ],
    );
    assert.ok(events.every(({ request_id }) => request_id));
    const written = JSON.stringify(events) + auth.log.join();
    assert.ok(!written.includes(`${password}!`) && !written.includes(username));
  });
});

test('where registration is off there is neither page nor API nor a link', async () => {
  const closed = await startTestAuth({ env: { REGISTRATION: 'false' } });
  try {
    assert.equal((await closed.send('/register')).status, 404);
    assert.equal((await register(closed, { username: newName(), password })).status, 404);
    const login = await closed.browser().open(authorizeUrl());
    assert.match(login.text, /Sign in<\/h1>/);
    assert.doesNotMatch(login.text, /register/);
    assert.ok(await signIn(closed.browser()));
  } finally {
    await closed.close();
  }
});
