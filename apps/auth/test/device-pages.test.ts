import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { Page } from '@gatehouse/test-kit';
import { deviceGrant } from '../src/clients/clients.ts';
import { allowDevice, confirm, enterCode, poll, requestCode } from './device-flow.ts';
import { alicePassword, openAuthDatabase, polyglot, startInteractionApp } from './interaction-app.ts';
import { issuer, startTestAuth, type TestAuth } from './start-test-auth.ts';

suite('pages of the device grant', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  const json = { headers: { accept: 'application/json' } };

  const isPending = async (device_code: string) =>
    ['authorization_pending', 'slow_down'].includes((await poll(auth, device_code)).body.error);

  test('A30 an address with the code in it fills in the form, and still asks twice', async () => {
    const code = await requestCode(auth);
    const browser = auth.browser();
    const entry = await browser.open(`${issuer}/device?user_code=${code.user_code}`);
    assert.equal(entry.forms[0]?.fields.user_code, code.user_code);
    assert.doesNotMatch(entry.text, /<script/);
    const question = await browser.submit(entry, {}, { button: 'Next' });
    assert.match(question.text, /<strong><bdi>Demo command line<\/bdi><\/strong> asks for access/);
    assert.ok(question.text.includes(`<p class="user-code">${code.user_code}</p>`));
    assert.equal(await isPending(code.device_code), true);
    const without = await browser.submit(question);
    assert.match(without.text, /Is this your device/, 'sending the form without an answer is none');
    assert.match((await confirm(browser, without)).text, /Device connected/);
  });

  test('consent is asked for each device, in plain words, also of who is signed in', async () => {
    const browser = auth.browser();
    await allowDevice(browser, await requestCode(auth));
    const again = await requestCode(auth, 'openid items:read orders:write');
    const question = await enterCode(browser, again.user_code);
    const consent = await browser.submit(question, {}, { button: 'Continue' });
    assert.match(consent.text, /<h1>Allow <bdi>Demo command line/);
    assert.match(consent.text, /Place and cancel orders for you <code>orders:write/);
    assert.equal(await isPending(again.device_code), true);
    await browser.submit(consent, {}, { button: 'Allow' });
    assert.equal((await poll(auth, again.device_code)).body.scope, 'openid items:read orders:write');
  });

  test('A40 A43 a form without its token, with a foreign one, or from another site changes nothing', async () => {
    const code = await requestCode(auth);
    const [browser, other] = [auth.browser(), auth.browser()];
    const question = await enterCode(browser, code.user_code);
    const foreign = (await other.open(`${issuer}/device`)).forms[0]?.fields.xsrf ?? '';
    for (const headers of [
      { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
      { origin: 'http://localhost:9999', 'sec-fetch-site': 'same-site' },
      { origin: 'null', 'sec-fetch-site': 'cross-site' },
    ]) {
      const page = await browser.submit(question, {}, { button: 'Continue', headers });
      assert.equal(page.status, 403);
      assert.match(page.text, /sent by another site/);
    }
    const own = question.forms[0]?.fields.xsrf ?? '';
    for (const fields of [
      { xsrf: foreign, user_code: code.user_code, confirm: 'yes' },
      { user_code: code.user_code, confirm: 'yes' },
    ]) {
      const form = new URLSearchParams(fields as Record<string, string>);
      const page = await browser.send(`${issuer}/device`, form.toString());
      assert.equal(page.status, 400);
      assert.match(page.text, /role="alert">This form has expired/);
    }
    const stolen = new URLSearchParams({ xsrf: own, user_code: code.user_code, confirm: 'yes' }).toString();
    const stranger = await auth.browser().send(`${issuer}/device`, stolen);
    assert.deepEqual([stranger.status, stranger.forms.length], [400, 0]);
    assert.match(stranger.text, /role="alert">This page has expired[^<]*<a href="\/device">/);
    assert.equal((await other.send(`${issuer}/device`, stolen)).status, 400);
    const fresh = await browser.open(`${issuer}/device`);
    const twice = `xsrf=${fresh.forms[0]?.fields.xsrf}&user_code=${code.user_code}&confirm=yes&confirm=yes`;
    assert.equal((await browser.send(`${issuer}/device`, twice)).status, 400);
    await browser.open(`${issuer}/device?user_code=${code.user_code}&confirm=yes&xsrf=${own}`);
    const started = browser.cookies.some(({ name }) => name === 'interaction');
    assert.equal(started, false, 'nothing of all that has confirmed the code');
    assert.match((await allowDevice(browser, code)).text, /Device connected/);
  });

  test('A49 the confirmed form is answered by 303', async () => {
    const browser = auth.browser();
    const question = await enterCode(browser, (await requestCode(auth)).user_code);
    const answer = await browser.submit(question, {}, { button: 'Continue', follow: false });
    assert.equal(answer.status, 303);
  });

  test('the page that the browser comes back to is its own, and good once', async () => {
    const code = await requestCode(auth);
    const browser = auth.browser();
    const login = await browser.submit(await enterCode(browser, code.user_code), {}, { button: 'Continue' });
    const uid = new URL(login.url).pathname.split('/').at(-1);
    const thief = await auth.browser().open(`${issuer}/device/${uid}`);
    assert.equal(thief.status, 400);
    const early = await auth.browser().open(login.url);
    assert.equal(early.status, 400);
    assert.equal(await isPending(code.device_code), true);

    const connected = await allowDevice(browser, await requestCode(auth));
    assert.match(connected.text, /Device connected/);
    const again = await browser.open(connected.url);
    assert.deepEqual([again.status, again.forms.length], [400, 0]);
    assert.match(again.text, /was used already/);
    assert.doesNotMatch(again.text, /Not connected/);
  });

  test('A41 A50 A56 every page forbids frames, scripts, other sites, referrers and caches', async () => {
    const code = await requestCode(auth);
    const browser = auth.browser();
    const hostile = `${issuer}/device?user_code=${encodeURIComponent(polyglot)}`;
    const question = await enterCode(browser, code.user_code);
    const connected = await confirm(browser, question);
    const abandoned = await enterCode(browser, (await requestCode(auth)).user_code);
    const pages: Record<string, [Page, number]> = {
      refused: [await browser.submit(abandoned, {}, { button: 'This is not my device' }), 200],
      entry: [await browser.open(`${issuer}/device`), 200],
      hostile: [await browser.open(hostile), 200],
      short: [await browser.open(`${issuer}/device?user_code=%22%3E%3Cscript%3E`), 200],
      question: [question, 200],
      connected: [connected, 200],
      stranger: [await auth.browser().send(`${issuer}/device`, 'user_code=x'), 400],
      wrong: [await enterCode(browser, 'ZZZZ-ZZZZ'), 400],
      nothing: [await enterCode(browser, ''), 400],
      expired: [await browser.open(`${issuer}/device/unknown`), 400],
      crossSite: [await browser.submit(question, {}, { headers: { 'sec-fetch-site': 'cross-site' } }), 403],
    };
    for (const [name, [page, status]] of Object.entries(pages)) {
      assert.equal(page.status, status, name);
      assert.match(page.headers.get('content-type') ?? '', /^text\/html; charset=utf-8$/, name);
      assert.equal(
        page.headers.get('content-security-policy'),
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        name,
      );
      assert.equal(page.headers.get('x-frame-options'), 'DENY', name);
      assert.equal(page.headers.get('referrer-policy'), 'no-referrer', name);
      assert.equal(page.headers.get('cache-control'), 'no-store', name);
      assert.doesNotMatch(page.text, /<script|<style|style=|\son\w+=|<img|https?:/, name);
      assert.match(page.text, /^<!doctype html>\n<html lang="en">[\s\S]*<title>[^<]+ · Gatehouse<\/title>/);
      if (status >= 400) assert.match(page.text, /role="alert"/, name);
      if ('user_code' in (page.forms[0]?.fields ?? {}) && name !== 'question')
        assert.match(page.text, /<label for="user_code">/, name);
    }
    assert.equal(pages.short?.[0].forms[0]?.fields.user_code, '"><script>');
    assert.match(pages.wrong?.[0].text ?? '', /<title>Not connected: try again/);
    assert.match(pages.wrong?.[0].text ?? '', /aria-invalid="true" aria-describedby="fault"/);
  });

  test('A30 A50 a code is of no use to another client, and a client’s name is text', async (t) => {
    const own = await openAuthDatabase();
    t.after(() => own.close());
    const app = await startInteractionApp(t, own.db);
    const browser = app.browser();
    const post = async (path: string, form: Record<string, string>) =>
      JSON.parse((await browser.send(issuer + path, new URLSearchParams(form).toString(), json)).text);
    const code = await post('/device/authorize', { client_id: 'hostile', scope: 'items:read' });
    const ask = async (client_id: string) =>
      (await post('/token', { client_id, grant_type: deviceGrant, device_code: code.device_code })).error;
    assert.equal(await ask('native'), 'invalid_grant');
    assert.equal(await ask('hostile'), 'authorization_pending', 'the other has not slowed this one down');
    const question = await enterCode(browser, code.user_code);
    assert.match(question.text, /<bdi>&quot;&#39;&gt;&lt;script&gt;/);
    const login = await browser.submit(question, {}, { button: 'Continue' });
    const consent = await browser.submit(login, { username: 'alice', password: alicePassword });
    const connected = await browser.submit(consent, {}, { button: 'Allow' });
    assert.match(connected.text, /Device connected/);
    for (const page of [question, login, consent, connected]) assert.doesNotMatch(page.text, /<script|<img/);
    assert.equal(await ask('native'), 'invalid_grant');
    assert.equal(await ask('hostile'), undefined, 'it has its tokens');

    const another = await post('/device/authorize', { client_id: 'hostile', scope: 'items:read' });
    const again = await enterCode(browser, another.user_code);
    const asked = await browser.submit(again, {}, { button: 'Continue' });
    assert.match(asked.text, /<h1>Allow <bdi>&quot;/, 'consent to one device is none to the next');
  });

  test('a database that is away is a page with 503 and Retry-After', async (t) => {
    const own = await openAuthDatabase();
    const app = await startInteractionApp(t, own.db);
    const browser = app.browser();
    const entry = await browser.open(`${issuer}/device`);
    await own.close();
    const page = await browser.submit(entry, { user_code: 'ZZZZ-ZZZZ' });
    assert.equal(page.status, 503);
    assert.equal(page.headers.get('retry-after'), '2');
    assert.doesNotMatch(page.text, /PGlite|select|records/i);
  });
});
