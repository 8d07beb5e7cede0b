import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { documentsByOrigin } from '../documented.ts';
import { passwords } from '../sign-in.ts';
import { gateway } from '../target.ts';
import { violations } from './axe.ts';
import { launchChromium, needsChromium, watchFaults } from './chromium.ts';
import { authorize, openDocs, openSignIn, type TriedInput, tryOut } from './docs.ts';

const alice = { username: 'alice', password: passwords.alice };

// Each operation is drawn with all its answers, which takes its time on a busy machine.
suite('the API documentation in Chromium', { ...needsChromium(), timeout: 300_000 }, () => {
  let browser: Browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  /** Opens the documentation in a browser of its own; the page may complain of nothing, and load nothing of others. */
  async function withDocs(work: (page: Page, context: BrowserContext) => Promise<void>): Promise<void> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    const faults = watchFaults(context, gateway);
    const page = await context.newPage();
    await openDocs(page, gateway);
    await work(page, context);
    await context.close();
    assert.deepEqual(faults, []);
  }

  test('the page has a title, follows light and dark, and has no more faults to axe-core than Swagger UI brings along', async () => {
    await withDocs(async (page) => {
      assert.equal(await page.title(), 'API documentation · Gatehouse');
      const known = /^(color-contrast|heading-order|nested-interactive|region) /;
      const background = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
      const light = await background();
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        const found = await violations(page);
        assert.deepEqual(
          found.filter((violation) => !known.test(violation)),
          [],
        );
      }
      assert.notEqual(await background(), light);
    });
  });

  test('alice authorizes the page for chosen scopes, with consent, and what she tries has these rights and no more', async () => {
    await withDocs(async (page) => {
      const sent: string[] = [];
      page.context().on('request', (request) => sent.push(`${request.url()} ${request.postData() ?? ''}`));
      await authorize(page, { ...alice, scopes: ['profile:read', 'items:read'], answer: 'Allow' });
      const asked = sent.find((line) => line.startsWith(`${gateway}/authorize?`)) ?? '';
      assert.match(
        asked,
        /[?&]scope=items%3Aread%20profile%3Aread&|[?&]scope=profile%3Aread%20items%3Aread&/,
      );
      assert.match(asked, /[?&]code_challenge=[\w-]{43}&code_challenge_method=S256/);
      const redeemed = sent.find((line) => line.startsWith(`${gateway}/token `)) ?? '';
      assert.match(redeemed, /[?& ]code_verifier=[\w-]{43}/);

      const me = await tryOut(page, 'getUsersMe');
      assert.equal(me.status, 200);
      assert.match(me.text, /"username": "alice"/);
      assert.equal((await tryOut(page, 'getItems')).status, 200);
      const refused = await tryOut(page, 'getOrders');
      assert.equal(refused.status, 403);
      assert.match(refused.text, /scope="orders:read"/);

      const kept = await page.evaluate<string>(
        'JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie',
      );
      assert.equal(kept, '{}');
      const applications = await page.context().newPage();
      await applications.goto(`${gateway}/account/applications`);
      assert.match(await applications.innerText('main'), /Gatehouse API documentation/);
      await page.reload();
      assert.equal((await tryOut(page, 'getUsersMe')).status, 401);
    });
  });

  test('"Try it out" works on every operation', async () => {
    const document = (await documentsByOrigin()).get(new URL(gateway).origin);
    assert.ok(document);
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
    );
    const scopes = new Set(operations.flatMap(({ security }) => security.flatMap(({ oauth2 }) => oauth2)));
    await withDocs(async (page) => {
      await authorize(page, { ...alice, scopes: [...scopes], answer: 'Allow' });
      const made = async (operationId: string, input = {}) => {
        const { text } = await tryOut(page, operationId, input);
        const [, id] = / location: \/\w+\/(\S+)/.exec(text) ?? [];
        assert.ok(id, `${operationId}: ${text}`);
        return id;
      };
      const item = await made('postItems');
      const lines = JSON.stringify({ lines: [{ itemId: item, quantity: 1 }] });
      const order = await made('postOrders', { body: lines, 'idempotency-key': item });
      const inputs: Record<string, TriedInput> = {
        patchUsersMe: { body: '{"displayName": "Alice Example"}' },
        // The order has made another version of it.
        patchItemsId: { id: item, 'if-match': '*' },
        deleteItemsId: { id: item, 'if-match': '*' },
      };
      const rest = operations.filter(({ operationId }) => !['postItems', 'postOrders'].includes(operationId));
      // What is removed last was there for the others.
      rest.sort((a, b) => Number(a.method === 'delete') - Number(b.method === 'delete'));
      for (const { path, operationId, responses, security } of rest) {
        const id = path.startsWith('/items/{id}')
          ? item
          : path.startsWith('/orders/{id}')
            ? order
            : undefined;
        const input = inputs[operationId] ?? (id === undefined ? {} : { id });
        const { status, text } = await tryOut(page, operationId, input);
        const isForAdmins = security.some(({ oauth2 }) => oauth2.includes('users:admin'));
        assert.ok(isForAdmins ? status === 403 : status < 300, `${operationId}: ${text}`);
        assert.ok(responses[status], `${operationId}: ${status} is not documented`);
      }
    });
  });

  test('a no to consent is told, and gives no token', async () => {
    await withDocs(async (page) => {
      const bob = { username: 'bob', password: passwords.bob };
      const said = await authorize(page, { ...bob, scopes: ['profile:read'], answer: 'Deny' });
      assert.match(said, /denied|refused|declined/i);
      assert.equal((await tryOut(page, 'getUsersMe')).status, 401);
    });
  });

  test('an answer that nobody here has asked for is not taken', async () => {
    await withDocs(async (page, context) => {
      await openSignIn(page, ['profile:read']);
      const tokens: string[] = [];
      context.on('request', (request) => {
        if (request.url() === `${gateway}/token`) tokens.push(request.url());
      });
      const forged = await context.newPage();
      const state = await page.evaluate<string>('window.swaggerUIRedirectOauth2.state');
      const iss = gateway;
      for (const answer of [
        { code: 'x', state: 'other', iss },
        { code: 'x', state, iss: 'https://evil.example' },
        {},
      ]) {
        await forged.goto(`${gateway}/docs/oauth2-redirect.html?${new URLSearchParams(answer)}`);
        await forged.getByText('You can close this tab').waitFor();
      }
      await page.waitForTimeout(500);
      assert.deepEqual(tokens, []);
      assert.equal(new URL(forged.url()).search, '');
    });
  });
});
