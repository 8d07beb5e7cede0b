import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '@gatehouse/service-kit';
import { eq } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import { accounts } from '../src/schema.ts';
import {
  alice,
  alicePassword,
  bob,
  callback,
  issuer,
  openAuthDatabase,
  startInteractionApp,
} from './interaction-app.ts';
import { basic, demoWeb, redemption } from './start-test-auth.ts';

describe('signing in', () => {
  let db: Db;
  let close: () => Promise<void>;
  before(async () => ({ db, close } = await openAuthDatabase()));
  after(() => close());

  test('sign-in and consent, by forms alone, end at the client with a code', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const signIn = await app.open(browser);
    assert.equal(signIn.status, 200);
    assert.match(signIn.text, /Sign in<\/h1>[\s\S]*Demo web shop/);
    const consent = await browser.submit(signIn, { username: 'alice', password: alicePassword });
    assert.equal(consent.status, 200);
    assert.match(consent.text, /signed in as <strong><bdi>Alice Example<\/bdi><\/strong> \(<bdi>alice</);
    assert.match(consent.text, /See items <code>items:read/);
    assert.equal(consent.text.match(/<code>openid</g)?.length, 1);
    assert.match(consent.text, /go back to <bdi>localhost:9999/);
    const answer = new URL((await browser.submit(consent, {}, { button: 'Allow' })).redirect ?? '');
    assert.equal(answer.origin + answer.pathname, callback);
    assert.ok(answer.searchParams.get('code'));
    assert.equal(answer.searchParams.get('state'), 'some-state');
  });

  test('A49 the answer to the password is 303, which no browser repeats with the password', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const form = await app.open(browser);
    const answer = await browser.submit(
      form,
      { username: 'alice', password: alicePassword },
      { follow: false },
    );
    assert.equal(answer.status, 303);
    assert.equal(new URL(answer.redirect ?? '').origin, issuer);
  });

  test('A46 an unknown user, a wrong password and a disabled account get the same answer', async (t) => {
    const app = await startInteractionApp(t, db);
    const attempts = [
      { username: 'alice', password: 'not-her-password' },
      { username: 'nobody', password: 'not-her-password' },
      { username: 'carol', password: 'carol-demo-pass' },
      { username: 'alice', password: '' },
      { username: 'a'.repeat(300), password: 'x' },
      { username: 'nul\0', password: 'x' },
    ];
    const answers = new Set<string>();
    for (const attempt of attempts) {
      const browser = app.browser();
      const page = await browser.submit(await app.open(browser), attempt);
      assert.equal(page.status, 401);
      const { uid } = /\/interaction\/(?<uid>[\w-]+)"/.exec(page.text)?.groups ?? {};
      const csrf = page.forms[0]?.fields.csrf ?? '';
      answers.add(
        page.text
          .replaceAll(uid ?? '', 'UID')
          .replace(csrf, 'CSRF')
          .replace(`value="${attempt.username}"`, 'value="NAME"'),
      );
    }
    assert.equal(answers.size, 1);
    assert.match([...answers].join(), /role="alert"/);
  });

  test('after a refusal the same form signs in, and no line of the log names a password or what was typed as a name', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const refused = await browser.submit(await app.open(browser), {
      username: 'hunter2-as-name',
      password: 'hunter2',
    });
    const consent = await browser.submit(refused, { username: 'alice', password: alicePassword });
    assert.match(consent.text, /Allow/);
    assert.equal(app.log.filter((line) => line.includes('sign-in refused')).length, 1);
    assert.equal(app.log.filter((line) => line.includes(alice.id) && line.includes('signed in')).length, 1);
    const lines = app.log.map((line) => JSON.parse(line));
    for (const { msg, requestId } of lines.filter(({ msg }) => /^sign(-in refused|ed in)$/.test(msg))) {
      const answered = lines.find((line) => line.msg === 'request' && line.requestId === requestId);
      assert.equal(answered?.route, '/interaction/:uid', msg);
    }
    assert.doesNotMatch(app.log.join(), /hunter2|alice-demo-pass/);
  });

  test('a form whose fields come twice, or not as a form, changes nothing', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const form = await app.open(browser);
    const csrf = form.forms[0]?.fields.csrf;
    const good = `csrf=${csrf}&username=alice&password=${alicePassword}`;
    const doubled = await browser.send(form.url, `${good}&password=other`);
    assert.equal(doubled.status, 400);
    assert.match(doubled.text, /sent twice/);
    assert.equal((await browser.send(form.url, `${good}&csrf=${csrf}`)).status, 400);
    const json = { 'content-type': 'application/json' };
    assert.equal((await browser.send(form.url, JSON.stringify({ csrf }), { headers: json })).status, 403);
    assert.equal((await browser.send(form.url, `${good}&x=${'x'.repeat(40_000)}`)).status, 413);
    assert.equal((await browser.send(form.url, good)).status, 200, 'the interaction is still good');
  });

  test('A40 a sign-in form without the token of its own interaction is refused', async (t) => {
    const app = await startInteractionApp(t, db);
    const [browser, attacker] = [app.browser(), app.browser()];
    const form = await app.open(browser);
    const foreign = (await app.open(attacker)).forms[0]?.fields.csrf ?? '';
    const credentials = { username: 'alice', password: alicePassword };
    for (const csrf of ['', 'x', foreign, `${foreign}x`]) {
      const page = await browser.submit(form, { ...credentials, csrf });
      assert.equal(page.status, 403);
      assert.match(page.text, /Nothing was changed/);
    }
    assert.equal((await browser.submit(form, { csrf: foreign }, { button: 'Cancel' })).status, 403);
    assert.match((await browser.submit(form, credentials)).text, /Allow/, 'the right token is taken');
  });

  test('A40 a consent without the token of its own interaction is refused', async (t) => {
    const app = await startInteractionApp(t, db);
    const [browser, attacker] = [app.browser(), app.browser()];
    const consent = await app.signIn(browser);
    const foreign = (await app.signIn(attacker, {}, 'bob')).forms[0]?.fields.csrf ?? '';
    for (const csrf of ['', foreign]) {
      for (const button of ['Allow', 'Deny']) {
        const page = await browser.submit(consent, { csrf }, { button });
        assert.equal(page.status, 403);
      }
    }
    assert.match((await browser.submit(consent, {}, { button: 'Allow' })).redirect ?? '', /code=/);
  });

  test('A40 a form that another site sends is refused, token or not', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const form = await app.open(browser);
    const credentials = { username: 'alice', password: alicePassword };
    const senders: Record<string, string>[] = [
      { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
      { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' },
      { origin: 'null', 'sec-fetch-site': 'cross-site' },
      { origin: issuer, 'sec-fetch-site': 'same-site' },
      { origin: `${issuer}.evil.example`, 'sec-fetch-site': 'same-origin' },
    ];
    for (const headers of senders) {
      const page = await browser.submit(form, credentials, { headers });
      assert.equal(page.status, 403, JSON.stringify(headers));
    }
    const csrf = form.forms[0]?.fields.csrf;
    const body = `csrf=${csrf}&username=alice&password=${alicePassword}`;
    for (const origin of ['https://evil.example', 'null']) {
      assert.equal((await browser.send(form.url, body, { headers: { origin } })).status, 403, origin);
    }
    assert.equal((await browser.send(form.url, body)).status, 200, 'a program that is no browser');
  });

  test('A40 GET changes nothing: looking at a form leaves it as it is', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const consent = await app.signIn(browser);
    for (const step of ['confirm', 'abort']) {
      const page = await browser.open(`${consent.url}/${step}?csrf=${consent.forms[0]?.fields.csrf}`);
      assert.equal(page.status, 405);
      assert.equal(page.headers.get('allow'), 'POST');
    }
    await browser.open(`${consent.url}?username=alice&password=${alicePassword}`);
    assert.match((await browser.submit(consent, {}, { button: 'Allow' })).redirect ?? '', /code=/);
  });

  test('A43 the address of a sign-in is of no use in another browser', async (t) => {
    const app = await startInteractionApp(t, db);
    const [hers, his] = [app.browser(), app.browser()];
    const form = await app.open(hers);
    const opened = await his.open(form.url);
    assert.equal(opened.status, 400);
    assert.match(opened.text, /belongs to another browser/);
    await app.open(his);
    assert.equal((await his.open(form.url)).status, 400, 'with an interaction of his own');
    assert.equal((await his.submit(form, { username: 'bob', password: 'bob-demo-pass' })).status, 400);
    const consent = await app.signIn(hers);
    assert.equal((await his.submit(consent, {}, { button: 'Allow' })).status, 400);
  });

  test('A43 the cookie of one interaction opens no other', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const [first, second] = [await app.open(browser), await app.open(browser)];
    const cookies = browser.cookies.filter(({ path }) => path === new URL(first.url).pathname);
    const headers = { cookie: cookies.map(({ name, value }) => `${name}=${value}`).join('; ') };
    assert.equal((await app.browser().open(first.url, { headers })).status, 200);
    assert.equal((await app.browser().open(second.url, { headers })).status, 400);
  });

  test('A43 the session has a new name after each sign-in, and a planted one stays worthless', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const session = () => browser.cookies.find(({ name }) => name === 'session')?.value;
    const consent = await app.signIn(browser);
    const first = session();
    await browser.submit(consent, {}, { button: 'Allow' });
    const again = await app.open(browser, { prompt: 'login' });
    await browser.submit(again, { username: 'alice', password: alicePassword });
    assert.ok(first && session());
    assert.notEqual(session(), first);

    const victim = app.browser();
    const form = await app.open(victim);
    const planted = {
      ...(browser.cookies[0] as (typeof browser.cookies)[number]),
      name: 'session',
      value: 'planted',
      path: '/',
    };
    victim.cookies.push(planted);
    await victim.submit(form, { username: 'alice', password: alicePassword });
    const names = victim.cookies.filter(({ name }) => name === 'session').map(({ value }) => value);
    assert.equal(names.length, 1);
    assert.notEqual(names[0], 'planted');
  });

  test('an interaction that is over, unknown or at another step is a page that says so', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const form = await app.open(browser);
    const consent = await browser.submit(form, { username: 'alice', password: alicePassword });
    assert.equal(
      (await browser.submit(form, { username: 'alice', password: alicePassword })).status,
      400,
      'used',
    );
    const early = app.browser();
    const signIn = await app.open(early);
    const csrf = `csrf=${signIn.forms[0]?.fields.csrf}`;
    assert.equal((await early.send(`${signIn.url}/confirm`, csrf)).status, 400, 'consent before sign-in');
    const late = `csrf=${consent.forms[0]?.fields.csrf}&username=bob&password=${'bob-demo-pass'}`;
    assert.equal((await browser.send(consent.url, late)).status, 400, 'sign-in at the consent step');
    // Somebody is signed in by now, but is asked for a password.
    const asked = await app.open(browser, { prompt: 'login' });
    for (const step of ['confirm', 'continue']) {
      const token = `csrf=${asked.forms[0]?.fields.csrf}`;
      assert.equal(
        (await browser.send(`${asked.url}/${step}`, token)).status,
        400,
        `${step} at the sign-in step`,
      );
    }
    for (const uid of ['unknown', '__proto__', '%00', '..%2f..', 'x'.repeat(3_000)]) {
      const page = await app.browser().open(`${issuer}/interaction/${uid}`);
      assert.equal(page.status, 400, uid);
      assert.match(page.text, /start again/);
    }
  });

  test('auth_time is when the password was given, however long the consent took', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const consent = await app.signIn(browser, { max_age: '3600' });
    const signedInAt = Math.floor(Date.now() / 1000);
    await delay((signedInAt + 1) * 1000 - Date.now() + 50);
    const answer = new URL((await browser.submit(consent, {}, { button: 'Allow' })).redirect ?? '');
    const headers = { authorization: basic(demoWeb) };
    const body = new URLSearchParams(redemption(answer)).toString();
    const { text } = await browser.send(`${issuer}/token`, body, { headers });
    assert.ok(Number(decodeJwt(JSON.parse(text).id_token).auth_time) <= signedInAt);
  });

  test('Cancel on the sign-in page brings access_denied to the client', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const answer = await browser.submit(await app.open(browser), {}, { button: 'Cancel' });
    assert.match(answer.redirect ?? '', /^http:\/\/localhost:9999\/callback\?error=access_denied&/);
  });
});

describe('consent', () => {
  let db: Db;
  let close: () => Promise<void>;
  before(async () => ({ db, close } = await openAuthDatabase()));
  after(() => close());

  test('A55 Deny brings access_denied to the client, and the next request asks again', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const answer = await browser.submit(await app.signIn(browser), {}, { button: 'Deny' });
    const { searchParams } = new URL(answer.redirect ?? '');
    assert.equal(searchParams.get('error'), 'access_denied');
    assert.equal(searchParams.get('state'), 'some-state');
    assert.equal(searchParams.has('code'), false);
    assert.match((await app.open(browser)).text, /Allow <bdi>Demo web shop/);
  });

  test('A55 what was allowed is not asked again, and a new scope is asked alone', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    await browser.submit(await app.signIn(browser), {}, { button: 'Allow' });
    assert.match((await app.open(browser)).redirect ?? '', /code=/);

    const wider = { scope: 'openid profile items:read items:write' };
    const asked = await app.open(browser, wider);
    const [now, before] = asked.text.split('allowed before');
    assert.match(now ?? '', /items:write/);
    assert.doesNotMatch(now ?? '', /items:read/);
    assert.match(before ?? '', /items:read/);
    assert.match((await browser.submit(asked, {}, { button: 'Allow' })).redirect ?? '', /code=/);
    assert.match((await app.open(browser, wider)).redirect ?? '', /code=/);
  });

  test('A55 the consent of one account is not the consent of another', async (t) => {
    const app = await startInteractionApp(t, db);
    await Promise.all(
      [alice, bob].map(async (account) => {
        const browser = app.browser();
        const consent = await app.signIn(browser, {}, account.username);
        assert.match(consent.text, new RegExp(`signed in as <strong><bdi>${account.displayName}`));
        assert.match((await browser.submit(consent, {}, { button: 'Allow' })).redirect ?? '', /code=/);
      }),
    );
  });

  test('a native client is asked about each time, also when nothing is new (RFC 8252, 8.6)', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const parameters = { client_id: 'native', redirect_uri: 'http://127.0.0.1:4321/callback' };
    await browser.submit(await app.signIn(browser, parameters), {}, { button: 'Allow' });
    const again = await app.open(browser, parameters);
    assert.match(again.text, /See items <code>items:read/);
    assert.doesNotMatch(again.text, /allowed before/);
    assert.match((await browser.submit(again, {}, { button: 'Allow' })).redirect ?? '', /code=/);

    const policies: [string, RegExp, place: string][] = [
      ['http://127.0.0.1:4321/callback', /form-action 'self' http:\/\/127\.0\.0\.1:4321;/, '127.0.0.1:4321'],
      ['com.example.cli:/callback', /form-action 'self' com\.example\.cli:;/, 'the application'],
      ['com.example.cli://bank.example/callback', /'self' com\.example\.cli:;/, 'the application'],
      ['http://[::1]:4321/callback', /form-action 'self' http:;/, '[::1]:4321'],
    ];
    for (const [redirect_uri, policy, place] of policies) {
      const page = await app.open(browser, { ...parameters, redirect_uri });
      assert.match(page.headers.get('content-security-policy') ?? '', policy);
      assert.equal(page.status, 200);
      assert.ok(page.text.includes(`Either way you go back to <bdi>${place}</bdi>.`), redirect_uri);
    }
  });

  test('an account that was disabled after its sign-in cannot consent', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const consent = await app.signIn(browser);
    await db.update(accounts).set({ disabledAt: new Date() }).where(eq(accounts.id, alice.id));
    t.after(() => db.update(accounts).set({ disabledAt: null }).where(eq(accounts.id, alice.id)));
    assert.equal((await browser.open(consent.url)).status, 400);
    assert.equal((await browser.submit(consent, {}, { button: 'Allow' })).status, 400);
  });
});
