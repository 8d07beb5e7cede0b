import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createLogger, createMetrics, type Db, Problem, requestContext } from '@gatehouse/service-kit';
import { createBrowser, listenApp, type Page } from '@gatehouse/test-kit';
import express from 'express';
import { createAccountStore } from '../src/accounts/accounts.ts';
import { createConsentStore } from '../src/interaction/consents.ts';
import { interactionRouter } from '../src/interaction/interaction.ts';
import { createRememberedGrants } from '../src/interaction/remembered-grants.ts';
import { createLimits } from '../src/limits/limits.ts';
import { html, trustedHtml } from '../src/pages/html.ts';
import { pageForError } from '../src/pages/page-for-error.ts';
import { createVault } from '../src/protocol/vault.ts';
import { alicePassword, issuer, openAuthDatabase, polyglot, startInteractionApp } from './interaction-app.ts';

test('html escapes every value, in text and in attributes, and never markup twice', () => {
  const list = [html`<i>${'a&b'}</i>`, '<', 3];
  assert.equal(
    html`<p title="${`"'<>&`}">${list}${undefined}${false}${trustedHtml('<hr>')}</p>`.toString(),
    '<p title="&quot;&#39;&lt;&gt;&amp;"><i>a&amp;b</i>&lt;3<hr></p>',
  );
});

test('a page that says no for want of room is one line of the log, with the reason', async (t) => {
  const log: string[] = [];
  const logger = createLogger({ name: 'auth', level: 'info' }, { write: (line) => void log.push(line) });
  const app = express().use(requestContext({ logger, metrics: createMetrics('auth') }));
  app.use(() => {
    throw new Problem(503, 'Too many people are signing in at once');
  });
  const { url, close } = await listenApp(app.use(pageForError(logger)));
  t.after(close);
  const page = await createBrowser().open(url);
  assert.match(page.text, /Too many people are signing in at once/);
  // The line is written when the answer has left, which the browser may hear before.
  while (log.length === 0) await delay(5);
  const told = log.map((line) => JSON.parse(line));
  assert.deepEqual(
    told.map(({ level, msg, status, reason }) => ({ level, msg, status, reason })),
    [{ level: 'info', msg: 'request', status: 503, reason: 'Too many people are signing in at once' }],
  );
});

describe('pages', () => {
  let db: Db;
  let close: () => Promise<void>;
  before(async () => ({ db, close } = await openAuthDatabase()));
  after(() => close());

  test('A41 A50 A56 every page forbids frames, scripts, other sites, referrers and caches', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const signIn = await app.open(browser);
    const refused = await browser.submit(signIn, { username: 'alice', password: 'wrong' });
    const forged = await browser.submit(signIn, { csrf: 'wrong' });
    const consent = await browser.submit(signIn, { username: 'alice', password: alicePassword });
    const unknownClient = await app.open(browser, { client_id: 'unknown' });
    const unknownPage = await browser.open(`${issuer}/interaction/unknown`);
    await browser.submit(consent, {}, { button: 'Allow' });
    const logout = await browser.open(`${issuer}/logout`);
    const signedOut = await browser.submit(logout, {}, { button: 'Sign out' });
    const pages: Record<string, [Page, number]> = {
      signIn: [signIn, 200],
      refused: [refused, 401],
      forged: [forged, 403],
      consent: [consent, 200],
      unknownClient: [unknownClient, 400],
      unknownPage: [unknownPage, 400],
      logout: [logout, 200],
      signedOut: [signedOut, 200],
    };
    for (const [name, [page, status]] of Object.entries(pages)) {
      assert.equal(page.status, status, name);
      assert.match(page.headers.get('content-type') ?? '', /^text\/html; charset=utf-8$/, name);
      const policy = page.headers.get('content-security-policy') ?? '';
      assert.match(policy, /^default-src 'none'; style-src 'self'; form-action 'self'/, name);
      assert.match(policy, /frame-ancestors 'none'; base-uri 'none'$/, name);
      assert.doesNotMatch(policy, /unsafe|\*/, name);
      assert.equal(page.headers.get('x-frame-options'), 'DENY', name);
      assert.equal(page.headers.get('referrer-policy'), 'no-referrer', name);
      assert.equal(page.headers.get('cache-control'), 'no-store', name);
      assert.equal(page.headers.get('x-content-type-options'), 'nosniff', name);
      assert.doesNotMatch(page.text, /<script|<style|style=|\son\w+=|https?:(?!\/\/localhost:8080)/, name);
      assert.match(
        page.text,
        /^<!doctype html>\n<html lang="en">[\s\S]*<title>[^<]+ · Gatehouse<\/title>/,
        name,
      );
    }
    assert.match(signIn.headers.get('content-security-policy') ?? '', / http:\/\/localhost:9999;/);
  });

  test('the stylesheet comes from here, may be cached for ever, and loads nothing itself', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const { text } = await app.open(browser);
    const address = /<link rel="stylesheet" href="([^"]+)">/.exec(text)?.[1] ?? '';
    assert.match(address, /^\/interaction\/style\.css\?v=[\da-f]{12}$/);
    const stylesheet = await browser.open(issuer + address);
    assert.equal(stylesheet.status, 200);
    assert.match(stylesheet.headers.get('content-type') ?? '', /^text\/css/);
    assert.match(stylesheet.headers.get('cache-control') ?? '', /immutable/);
    assert.doesNotMatch(stylesheet.text, /url\(|@import/);
    assert.match(stylesheet.text, /prefers-color-scheme: dark/);
  });

  test('A50 what clients and addresses bring is text, never markup', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const parameters = { client_id: 'hostile', login_hint: polyglot, ui_locales: polyglot, state: polyglot };
    const signIn = await app.open(browser, parameters);
    assert.equal(signIn.forms[0]?.fields.username, polyglot, 'the hint is the value of the field, whole');
    const refused = await browser.submit(signIn, { username: polyglot, password: polyglot });
    assert.equal(refused.status, 401);
    assert.equal(refused.forms[0]?.fields.username, polyglot);
    const consent = await browser.submit(refused, { username: 'alice', password: alicePassword });
    assert.match(consent.text, /Allow <bdi>&quot;&#39;&gt;&lt;script&gt;/);
    await browser.submit(consent, {}, { button: 'Allow' });
    const logout = await browser.open(`${issuer}/logout?client_id=hostile`);
    assert.match(logout.text, /&lt;script&gt;.*asks to sign you out/);
    const stayed = await browser.submit(logout, {}, { button: 'Stay signed in' });
    assert.match(stayed.text, /signed out of <strong><bdi>&quot;/);
    const error = await app.open(browser, { client_id: polyglot, scope: polyglot });
    assert.equal(error.status, 400);
    for (const page of [signIn, refused, consent, logout, stayed, error]) {
      assert.doesNotMatch(page.text, /<script|<img/, page.url);
      assert.equal(page.text.match(/<form/g)?.length ?? 0, page.forms.length);
    }
  });

  test('labels name their fields, password managers know them, and a refusal is announced', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    const signIn = await app.open(browser, { login_hint: 'alice' });
    for (const id of ['username', 'password']) assert.match(signIn.text, new RegExp(`<label for="${id}">`));
    assert.match(signIn.text, /name="username" value="alice" autocomplete="username"/);
    assert.match(signIn.text, /type="password" autocomplete="current-password" required autofocus/);
    assert.doesNotMatch(signIn.text, /maxlength|role="alert"/);
    const { text } = await browser.submit(signIn, { password: 'wrong' });
    assert.match(text, /<title>Not signed in/);
    assert.match(text, /id="fault" role="alert"/);
    assert.equal(text.match(/aria-invalid="true" aria-describedby="fault"/g)?.length, 2);
    assert.doesNotMatch(text, /value="wrong"/);
  });

  test('who stays signed in is told so, whether an application has asked or nobody', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    await browser.submit(await app.signIn(browser), {}, { button: 'Allow' });
    for (const [query, told] of [
      ['', 'You are still signed in to Gatehouse.'],
      [
        '?client_id=demo-web',
        'You are signed out of <strong><bdi>Demo web shop</bdi></strong>, and still signed in',
      ],
    ]) {
      const logout = await browser.open(`${issuer}/logout${query}`);
      const stayed = await browser.submit(logout, {}, { button: 'Stay signed in' });
      assert.match(stayed.text, /<h1>Still signed in<\/h1>/);
      assert.ok(stayed.text.includes(told ?? ''), stayed.text);
    }
    const signedOut = await browser.submit(
      await browser.open(`${issuer}/logout`),
      {},
      { button: 'Sign out' },
    );
    assert.match(signedOut.text, /<h1>Signed out<\/h1>\s.*You are signed out\. You may close this page\./);
  });

  test('A40 A42 logout asks first, and goes where the client registered and nowhere else', async (t) => {
    const app = await startInteractionApp(t, db);
    const browser = app.browser();
    await browser.submit(await app.signIn(browser), {}, { button: 'Allow' });
    const registered = 'http://localhost:9999/';
    const query = new URLSearchParams({
      client_id: 'demo-web',
      post_logout_redirect_uri: registered,
      state: 's',
    });
    for (const evil of [
      'https://evil.example/',
      'http://localhost:9999.evil.example/',
      '//evil.example',
      'javascript:alert(1)',
    ]) {
      const page = await browser.open(
        `${issuer}/logout?client_id=demo-web&post_logout_redirect_uri=${encodeURIComponent(evil)}`,
      );
      assert.equal(page.status, 400, evil);
    }
    const asked = await browser.open(`${issuer}/logout?${query}`);
    assert.match(asked.text, /<strong><bdi>Demo web shop<\/bdi><\/strong> asks to sign you out/);
    assert.match(
      asked.headers.get('content-security-policy') ?? '',
      /form-action 'self' http:\/\/localhost:9999;/,
    );
    assert.equal((await browser.submit(asked, { xsrf: 'foreign' }, { button: 'Sign out' })).status, 400);
    assert.match((await app.open(browser)).redirect ?? '', /code=/, 'still signed in');
    const again = await browser.open(`${issuer}/logout?${query}`);
    assert.equal((await browser.submit(again, {}, { button: 'Sign out' })).redirect, `${registered}?state=s`);
    assert.match((await app.open(browser)).text, /Sign in<\/h1>/);
  });

  test('a database that is away is a page with 503 and Retry-After, without a word about the cause', async (t) => {
    const own = await openAuthDatabase();
    const app = await startInteractionApp(t, own.db);
    const browser = app.browser();
    const form = await app.open(browser);
    await own.close();
    const page = await browser.submit(form, { username: 'alice', password: alicePassword });
    assert.equal(page.status, 503);
    assert.equal(page.headers.get('retry-after'), '2');
    assert.match(page.text, /Something went wrong/);
    assert.doesNotMatch(page.text, /PGlite|select|records/i);
    assert.equal(page.headers.get('x-frame-options'), 'DENY');
  });

  test('a fault of ours is a page with 500, and its cause is in the log alone', async (t) => {
    const log: string[] = [];
    const logger = createLogger({ name: 'auth', level: 'info' }, { write: (line) => void log.push(line) });
    const provider = () => {
      throw new Error('secret-host:5432');
    };
    const accounts = createAccountStore(db);
    const audit = { record: async () => {}, count: () => {}, close: async () => {} };
    const limits = createLimits({
      vault: createVault(randomBytes(32).toString('base64url')),
      logger,
      metrics: createMetrics('auth'),
    });
    const router = interactionRouter({
      provider,
      accounts,
      grants: createRememberedGrants({
        consents: createConsentStore(db),
        revocations: { isRevoked: async () => false },
      }),
      csrfSecret: 'secret',
      issuer,
      limits,
      audit,
      logger,
    });
    const { url, close: stop } = await listenApp(express().use(router));
    t.after(stop);
    const page = await createBrowser().open(`${url}/interaction/some`);
    assert.equal(page.status, 500);
    assert.match(page.text, /Something went wrong/);
    assert.doesNotMatch(page.text, /secret-host/);
    assert.equal(page.headers.get('x-frame-options'), 'DENY');
    assert.match(log.join(), /secret-host/);
  });
});
