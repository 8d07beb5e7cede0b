import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { decidingFiles } from '@gatehouse/explorer';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { administer, register } from '../accounts.ts';
import { documentsByOrigin } from '../documented.ts';
import { passwords } from '../sign-in.ts';
import { gateway } from '../target.ts';
import { violations } from './axe.ts';
import { launchChromium, needsChromium, watchFaults } from './chromium.ts';
import { answerSignIn, openExplorer, signInAs } from './explorer.ts';

const alice = { username: 'alice', password: passwords.alice };
const bob = { username: 'bob', password: passwords.bob };
const views = ['start', 'call', 'token', 'lab', 'live'];

// The cells of tables in which a word goes on in the next line.
const brokenWords = `[...document.querySelectorAll('th, td')]
  .filter((cell) => /^\\w+$/.test(cell.textContent.trim()) && cell.querySelector('code') === null)
  .filter((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1;
  })
  .map((cell) => cell.textContent.trim())`;

suite('the explorer in Chromium', { ...needsChromium(), timeout: 300_000 }, () => {
  let browser: Browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  /** A page in a browser of its own, which may complain of nothing, load nothing of others, and keep no token. */
  async function withPage(
    work: (page: Page, context: BrowserContext) => Promise<void>,
    { width = 1200, colorScheme = 'light' as 'light' | 'dark' } = {},
  ): Promise<void> {
    const viewport = { width, height: 900 };
    const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
    const faults = watchFaults(context, gateway);
    const page = await context.newPage();
    await work(page, context);
    const kept = await page.evaluate<string>(
      'JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie',
    );
    assert.match(kept, /^(\{\}|\{"explorer-tour":"seen"\})$/);
    await context.close();
    assert.deepEqual(faults, []);
  }

  /** Lets one service more answer than there is. */
  async function answerGiftCards(page: Page): Promise<void> {
    await page.route('**/gift-cards', async (route) => {
      const headers = {
        'Server-Timing': 'gateway.token;desc="ok";dur=1.00, gift-cards.scope;desc="ok";dur=1.00',
      };
      await route.fulfill({ json: { items: [] }, headers });
    });
  }

  /** Lets one service more answer than there is, and the document tell of it. */
  async function addGiftCards(page: Page): Promise<void> {
    const document = (await documentsByOrigin()).get(new URL(gateway).origin);
    const security = [{ oauth2: ['gift-cards:read'] }];
    const get = { operationId: 'getGiftCards', tags: ['gift-cards'], security, responses: {} };
    await page.route('**/openapi.json', async (route) => {
      const tags = [{ name: 'gift-cards', description: 'Gift cards of the caller' }];
      const paths = { ...document?.paths, '/gift-cards': { get } };
      await route.fulfill({ json: { ...document, tags, paths } });
    });
    await answerGiftCards(page);
  }

  test('where a part of it is refused, as by a gateway that has too much to do, the page says so and can be loaded again', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.route('**/explorer/views.ts', (route) => route.fulfill({ status: 503 }));
    await page.goto(`${gateway}/explorer`);
    await page.unroute('**/explorer/views.ts');
    await page.getByRole('link', { name: 'load it again' }).click();
    await page.getByRole('heading', { level: 1 }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'load it again' }).count(), 0);
    await context.close();
  });

  test('the origin leads to it, and its first load is under 150 kB and of this origin alone', async () => {
    await withPage(async (page, context) => {
      const sizes: Promise<number>[] = [];
      context.on('requestfinished', (request) => {
        sizes.push(request.sizes().then(({ responseBodySize }) => responseBodySize));
      });
      await page.goto(gateway);
      await page.getByRole('heading', { name: 'See every decision' }).waitFor();
      await page.waitForLoadState('networkidle');
      assert.equal(new URL(page.url()).pathname, '/explorer/');
      assert.equal(await page.title(), 'Explorer · Gatehouse');
      const total = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
      assert.ok(total > 10_000 && total < 150_000, `${total} bytes`);
    });
  });

  test('the tour leads from the sign-in to the refusal, is over when it has been seen, and can be taken again', async () => {
    await withPage(async (page) => {
      await page.goto(`${gateway}/explorer/`);
      const tour = page.locator('.tour');
      const next = () => tour.getByRole('button', { name: 'Next' }).click();
      await tour.getByRole('heading', { name: '1 of 5' }).waitFor();
      await tour.getByRole('button', { name: 'Sign in' }).click();
      const [tab] = await Promise.all([
        page.waitForEvent('popup'),
        page.locator('#sign-in-form').getByRole('button', { name: 'Sign in', exact: true }).click(),
      ]);
      await answerSignIn(tab, alice);
      await next();
      await tour.getByRole('button', { name: 'Call GET /orders' }).click();
      await next();
      await page.getByRole('cell', { name: 'orders:read ok' }).waitFor();
      await tour.getByRole('button', { name: 'I have read it' }).click();
      await next();
      await tour.getByRole('button', { name: 'Revoke' }).click();
      await next();
      await tour.getByRole('button', { name: 'Call GET /orders again' }).click();
      await tour.getByRole('button', { name: 'Finish' }).click();
      assert.match(await page.innerText('.checks tr.refused'), /gateway\s+denylist\s+✗ revoked/);
      await page.goto(`${gateway}/explorer/#start`);
      await page.reload();
      await page.locator('h1').waitFor();
      assert.equal(await tour.count(), 0);
      await page.getByRole('button', { name: 'Take the tour' }).click();
      await tour.getByRole('heading', { name: '1 of 5' }).waitFor();
      await tour.getByRole('button', { name: 'Skip the tour' }).click();
      assert.equal(await tour.count(), 0);
    });
  });

  test('alice and bob are signed in side by side, each with rights of their own, and signing out ends one of them', async () => {
    await withPage(async (page, context) => {
      const tokens = new Set<string>();
      context.on('request', (request) => {
        const token = request.headers().authorization?.split(' ')[1];
        if (token !== undefined && request.url().startsWith(`${gateway}/users/`)) tokens.add(token);
      });
      await openExplorer(page, gateway, 'call');
      await signInAs(page, alice);
      await signInAs(page, bob);
      const whoIs = async (name: string) => {
        await page.getByRole('button', { name, exact: true }).click();
        await page.getByLabel('Path').fill('/users/me');
        await page.getByRole('button', { name: `Send as ${name}` }).click();
        await page.locator('pre.body', { hasText: `"${name}"` }).waitFor();
      };
      await whoIs('alice');
      await whoIs('bob');
      await whoIs('alice');
      // As people do who click twice on everything.
      await page.getByRole('button', { name: 'Sign out alice' }).dblclick();
      await page.getByRole('button', { name: 'alice', exact: true }).waitFor({ state: 'detached' });
      await whoIs('bob');
      assert.equal(tokens.size, 2);
      const [ofAlice = '', ofBob = ''] = tokens;
      const statusOf = async (token: string) =>
        (await fetch(`${gateway}/users/me`, { headers: { authorization: `Bearer ${token}` } })).status;
      assert.deepEqual([await statusOf(ofAlice), await statusOf(ofBob)], [401, 200]);
    });
  });

  test('a sign-in whose window was closed can be given up, and begun anew', async () => {
    await withPage(async (page) => {
      await openExplorer(page, gateway);
      await page.getByRole('button', { name: '+ Sign in' }).click();
      const form = page.locator('#sign-in-form');
      const [tab] = await Promise.all([
        page.waitForEvent('popup'),
        form.getByRole('button', { name: 'Sign in', exact: true }).click(),
      ]);
      await tab.getByLabel('Username').waitFor();
      const { href } = new URL(tab.url());
      await tab.close();
      await form.getByText('Waiting for the window…').waitFor();
      await form.getByRole('button', { name: 'Cancel' }).click();
      await page.getByText('The sign-in was cancelled.').waitFor();
      await signInAs(page, alice);
      assert.equal(await page.getByText('The sign-in was cancelled.').count(), 0);

      const late = await page.context().newPage();
      await late.goto(href);
      await late.getByLabel('Username').fill(alice.username);
      await late.getByLabel('Password').fill(alice.password);
      await late.getByRole('button', { name: 'Sign in', exact: true }).click();
      await late.getByRole('button', { name: 'Allow', exact: true }).click();
      await late.getByRole('heading', { name: 'Nobody waits for this answer' }).waitFor();
    });
  });

  test('what has ended is marked: whoever is signed in by the same grant, and whose token is refused and not renewed', async () => {
    await withPage(async (page) => {
      const { username, password, user } = await register();
      await openExplorer(page, gateway, 'call');
      await signInAs(page, { username, password });
      await signInAs(page, { username, password });
      const signOut = page.getByRole('button', { name: `Sign out ${username}` });
      await signOut.nth(1).waitFor();
      await signOut.first().click();
      const ended = page.getByRole('button', { name: `${username} (ended)`, exact: true });
      await ended.waitFor();
      await page.getByText('Signed out. Sign in again to go on.').waitFor();
      await signOut.click();
      await ended.waitFor({ state: 'detached' });

      await signInAs(page, { username, password });
      await page.getByLabel('Path').fill('/users/me');
      await page.getByRole('button', { name: `Send as ${username}` }).click();
      await page.getByRole('heading', { name: /^200 after/ }).waitFor();
      assert.equal((await administer('POST', `/users/${user.id}/logout`)).status, 204);
      await page.getByRole('button', { name: `Send as ${username}` }).click();
      await page.getByRole('heading', { name: /^401 after/ }).waitFor();
      await ended.waitFor();
    });
  });

  test('running all experiments opens their window on the click, and says whose sign-in that ends', async () => {
    await withPage(async (page) => {
      await page.addInitScript(`{
        const { open } = window;
        let clickedAt = 0;
        addEventListener('click', ({ timeStamp }) => (clickedAt = timeStamp), true);
        window.open = (...how) => {
          window.openedAfterMs = performance.now() - clickedAt;
          return open(...how);
        };
      }`);
      await openExplorer(page, gateway, 'lab');
      await signInAs(page, alice);
      const runAll = page.getByRole('button', { name: 'Run all of them' });
      await runAll.click();
      await page.locator('#experiment-code-twice .held').waitFor();
      await page.getByRole('button', { name: 'alice (ended)', exact: true }).waitFor();
      await page.locator('#experiment-rate-limit .held').waitFor({ timeout: 60_000 });
      await runAll.and(page.locator(':enabled')).waitFor();
      const afterMs = await page.evaluate<number>('window.openedAfterMs');
      assert.ok(afterMs < 1000, `opened ${afterMs} ms after the click`);
    });
  });

  test('a token is renewed by its refresh token, verified in the browser, and told apart from the one before', async () => {
    await withPage(async (page) => {
      await openExplorer(page, gateway, 'token');
      await signInAs(page, alice);
      const shown = page.locator('pre.token');
      await page.getByText('Verified here, against the published keys.').waitFor();
      const before = await shown.innerText();
      assert.match(before, /^[\w-]+\.[\w-]+\.[\w-]+$/);
      await page.getByRole('button', { name: 'Renew now' }).click();
      await shown.filter({ hasNotText: before }).waitFor();
      await page.getByText('Verified here, against the published keys.').waitFor();
      const claims = page.getByRole('table', { name: 'Claims' }).first();
      for (const name of ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'gid', 'client_id', 'scope', 'roles']) {
        assert.match(
          await claims.getByRole('row', { name: new RegExp(`^${name} `) }).innerText(),
          /\.$/,
          name,
        );
      }
      await page.getByRole('button', { name: 'Ask all of them' }).click();
      const answers = page.getByRole('table', { name: 'The answers' });
      await answers.getByText('GET /orders').waitFor();
      assert.equal(await answers.getByText('✓ 200').count(), 3);
    });
  });

  test('a token counts down, and a minute before its end another one has taken its place, unasked', async () => {
    await withPage(async (page) => {
      await page.clock.install();
      await openExplorer(page, gateway, 'token');
      await signInAs(page, alice);
      const [shown, left] = [page.locator('pre.token'), page.locator('.left')];
      const before = await shown.innerText();
      await page.clock.fastForward(180_000);
      await left.filter({ hasText: /^(2:0|1:)/ }).waitFor();
      assert.equal(await shown.innerText(), before);
      await page.clock.fastForward(60_000);
      await shown.filter({ hasNotText: before }).waitFor();
      await left.filter({ hasText: /^(5:0|4:)/ }).waitFor();
    });
  });

  test('where there is no answer each view says so, and goes on when there is one again', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await openExplorer(page, gateway, 'token');
    await signInAs(page, alice);
    await page.getByText('Verified here, against the published keys.').waitFor();
    const ask = page.getByRole('button', { name: 'Ask all of them' });
    const fault = page.getByRole('alert').filter({ hasText: /Failed to fetch/ });
    await context.setOffline(true);
    await ask.click();
    await fault.waitFor();
    await page.goto(`${gateway}/explorer/#call`);
    await page.getByRole('button', { name: 'Send as alice' }).click();
    await page.getByText('No answer: Failed to fetch').waitFor();
    await page.goto(`${gateway}/explorer/#token`);
    await context.setOffline(false);
    await ask.click();
    await page.getByRole('row', { name: 'GET /orders ✓ 200' }).waitFor();
    assert.equal(await fault.count(), 0);
    await context.close();
  });

  test('every operation of the document can be chosen, and a call is drawn with each check and its time', async () => {
    const document = (await documentsByOrigin()).get(new URL(gateway).origin);
    const ids = Object.values(document?.paths ?? {}).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    );
    await withPage(async (page) => {
      await openExplorer(page, gateway, 'call');
      await signInAs(page, alice);
      const route = page.getByLabel('Route');
      await route.locator('option').nth(ids.length).waitFor({ state: 'attached' });
      assert.ok(ids.length > 15);
      const path = page.getByLabel('Path');
      await path.fill('/elsewhere');
      await route.selectOption('getUsersMe');
      assert.equal(await path.inputValue(), '/users/me');
      for (const id of ids) {
        await route.selectOption(id);
        assert.match(await path.inputValue(), /^\/[^{}]+$/);
      }
      await route.selectOption('postOrders');
      const body = page.getByLabel('Body', { exact: true });
      assert.ok(JSON.parse(await body.inputValue()).lines.length > 0);
      await page.getByRole('button', { name: 'Send as alice' }).click();
      await page.locator('h3').waitFor();

      await route.selectOption('getUsers');
      await page.getByRole('button', { name: 'Send as alice' }).click();
      await page.getByRole('cell', { name: '✗ users:admin missing' }).waitFor();
      assert.match(await page.innerText('.map figcaption'), /^GET \/users: 403 after \d+ ms$/);
      assert.match(
        (await page.getByRole('img').getAttribute('aria-label')) ?? '',
        /by you, gateway, users\.$/,
      );
      assert.equal(await page.locator('.map .place.refused').count(), 1);
      const rows = await page.locator('.checks tbody tr').allInnerTexts();
      assert.ok(rows.length > 6);
      for (const row of rows) assert.match(row, /^(gateway|users)\t[\w-]+\t.*\t\d+\.\d\d$/);
    });
  });

  test('what a service asks for can be chosen at the sign-in, and what it says to the token is shown', async () => {
    await withPage(async (page) => {
      await addGiftCards(page);
      await openExplorer(page, gateway, 'token');
      await page.getByRole('button', { name: '+ Sign in' }).click();
      const scopes = page.locator('#sign-in-form label');
      await scopes.getByText('gift-cards:read').waitFor();
      const metadata = await fetch(`${gateway}/.well-known/openid-configuration`);
      const { scopes_supported } = (await metadata.json()) as { scopes_supported: string[] };
      const known = scopes_supported.filter((scope) => scope.includes(':'));
      assert.deepEqual((await scopes.allInnerTexts()).sort(), [...known, 'gift-cards:read'].sort());
      // This one the authorization server does not know.
      await scopes.getByText('gift-cards:read').uncheck();
      await page.getByRole('button', { name: 'Cancel' }).click();
      await signInAs(page, alice);
      await page.getByRole('button', { name: 'Ask all of them' }).click();
      await page.getByRole('row', { name: 'GET /gift-cards ✓ 200 every check passed' }).waitFor();
    });
  });

  test('the map draws whatever service the document names, and the way of a call to it', async () => {
    await withPage(async (page) => {
      await addGiftCards(page);
      await openExplorer(page, gateway, 'call');
      const service = page.locator('.map .place', { hasText: 'gift-cards' });
      assert.match((await service.textContent()) ?? '', /^\s*gift-cards\s*gift cards\s*$/);
      assert.deepEqual(await page.locator('.map .place', { hasText: 'orders' }).count(), 0);
      assert.equal(await page.locator('.map .walked').count(), 0);
      await page.getByLabel('Route').selectOption('getGiftCards');
      await page.getByRole('button', { name: 'Send as nobody' }).click();
      await page.locator('h3').waitFor();
      const drawn = page.getByRole('img', { name: /by you, gateway, gift-cards\.$/ });
      assert.equal(await drawn.locator('.place.passed').count(), 3);
      assert.equal(await drawn.locator('.way.passed').count(), 2);
    });
  });

  test('the map draws where a call has been, as its answer tells: also to a service that the document lacks', async () => {
    await withPage(async (page) => {
      await answerGiftCards(page);
      await openExplorer(page, gateway, 'call');
      const wayOf = async (path: string) => {
        await page.getByLabel('Path').fill(path);
        await page.getByRole('button', { name: 'Send as nobody' }).click();
        await page.locator('.map figcaption', { hasText: `GET ${path}: ` }).waitFor();
        const walked = await page.locator('.map .place.walked').allTextContents();
        return walked.map((text) => text.trim().split(/\s/, 1)[0]);
      };
      assert.deepEqual(await wayOf('/gift-cards'), ['you', 'gateway', 'gift-cards']);
      assert.deepEqual(await wayOf('/.well-known/openid-configuration'), ['you', 'gateway', 'auth']);
      assert.deepEqual(await wayOf('/gift-tokens'), ['you', 'gateway']);
      assert.deepEqual(await wayOf('/orders'), ['you', 'gateway']);
    });
  });

  test('a path goes to this origin whatever it looks like, a redirect is called one, and what cannot be sent is said', async () => {
    await withPage(async (page) => {
      await openExplorer(page, gateway, 'call');
      const button = page.locator('.call .primary');
      const send = async (path: string) => {
        await page.getByLabel('Path').fill(path);
        await button.click();
      };
      await send('//elsewhere.example/users/me');
      await page.getByRole('heading', { name: /^400 after/ }).waitFor();
      await send('/explorer');
      await page.getByRole('heading', { name: /^A redirect after/ }).waitFor();
      await page.getByText('A browser tells no more of a redirect').waitFor();
      await page.getByLabel('Headers, one a line').fill('Not a name: x');
      await send('/users/me');
      await page.getByText('This cannot be sent: ').waitFor();
      await page.getByLabel('Headers, one a line').fill('If-None-Match');
      await send('/users/me');
      await page.getByText('there is no colon in the header If-None-Match').waitFor();
      await page.getByLabel('Headers, one a line').fill('');
      await page.route('**/users/me', () => {});
      await send('/users/me');
      await button.filter({ hasText: 'Sending…' }).waitFor();
    });
  });

  test('every experiment of the lab holds, and says what happened', async () => {
    await withPage(async (page) => {
      await openExplorer(page, gateway, 'lab');
      await signInAs(page, alice);
      const experiments = page.locator('.experiment');
      const count = await experiments.count();
      assert.ok(count >= 20, String(count));
      for (let index = 0; index < count; index += 1) {
        const experiment = experiments.nth(index);
        await experiment.getByRole('button').click();
        const outcome = experiment.locator('.outcome');
        await outcome.getByText(/^(✓ Held|✗ Did not hold|\?)/).waitFor();
        assert.match(await outcome.innerText(), /^✓ Held\. .*\d/, await experiment.innerText());
      }
      assert.ok(await page.getByText(`${count} of ${count} held.`).isVisible());
    });
  });

  test('each experiment leads to the source of the file that decides it, in a tab of its own', async () => {
    await withPage(async (page) => {
      await openExplorer(page, gateway, 'lab');
      const links = page.locator('.experiment dd a');
      const paths = await links.allInnerTexts();
      assert.equal(paths.length, await page.locator('.experiment').count());
      assert.deepEqual([...new Set(paths)].sort(), [...decidingFiles].sort());
      for (const [index, path] of paths.entries())
        assert.equal(await links.nth(index).getAttribute('href'), `/explorer/source/${path}`);
      const [tab] = await Promise.all([page.waitForEvent('popup'), links.first().click()]);
      assert.equal(await tab.evaluate('opener'), null);
      const source = readFileSync(new URL(`../../../${paths[0]}`, import.meta.url), 'utf8');
      assert.equal(await tab.locator('pre').textContent(), source);
    });
  });

  test('whoever has only a keyboard gets from the link to the content to a call and its answer', async () => {
    await withPage(async (page) => {
      await openExplorer(page, gateway);
      const focused = () => page.evaluate<string>('document.activeElement.textContent.trim()');
      const tabTo = async (name: string) => {
        for (let presses = 0; presses < 40; presses += 1) {
          await page.keyboard.press('Tab');
          if ((await focused()) === name) return;
        }
        assert.fail(`no way to ${name} by the keyboard`);
      };
      await page.keyboard.press('Tab');
      assert.equal(await focused(), 'To the content');
      await tabTo('Call');
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name: 'Call a route' }).waitFor();
      await tabTo('Send as nobody');
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name: /^401 after/ }).waitFor();
    });
  });

  test('the links to the views stay in sight when one is chosen, and so does its beginning', async () => {
    await withPage(async (page) => {
      await openExplorer(page, gateway);
      const links = page.getByRole('navigation', { name: 'Views' });
      const scrolled = () => page.evaluate<number>('scrollY');
      for (const name of ['Call', 'Lab', 'Start']) {
        await links.getByRole('link', { name }).click();
        await links.locator('[aria-current]', { hasText: name }).waitFor();
        assert.equal(await page.evaluate('document.activeElement.id'), 'view');
        assert.equal(await scrolled(), 0, name);
      }
      await links.getByRole('link', { name: 'Lab' }).click();
      await page.evaluate('scrollTo(0, 2000)');
      await page.goBack();
      await page.getByRole('heading', { name: 'See every decision' }).waitFor();
      assert.ok(
        (await page.evaluate<number>('document.querySelector("#view").getBoundingClientRect().top')) >= 0,
      );
    });
  });

  test('the focus goes on with the tour and the sign-in, and is never lost', async () => {
    await withPage(async (page) => {
      await page.goto(`${gateway}/explorer/`);
      const focused = () => page.evaluate<string>('document.activeElement.textContent.trim()');
      const tour = page.locator('.tour');
      await tour.getByRole('button', { name: 'Sign in' }).press('Enter');
      assert.equal(await page.evaluate('document.activeElement.name'), 'scope');
      await page.getByRole('button', { name: 'Cancel' }).press('Enter');
      assert.equal(await focused(), '+ Sign in');
      await page.keyboard.press('Enter');
      const [tab] = await Promise.all([
        page.waitForEvent('popup'),
        page.locator('#sign-in-form .primary').press('Enter'),
      ]);
      await answerSignIn(tab, alice);
      await page.getByRole('button', { name: 'alice', exact: true }).waitFor();
      assert.equal(await focused(), 'alice');
      await tour.getByRole('button', { name: 'Next' }).press('Enter');
      assert.equal(await focused(), '2 of 5: Call an API');
      await page.keyboard.press('Tab');
      assert.equal(await focused(), 'Call GET /orders');
      await tour.getByRole('button', { name: 'Skip the tour' }).press('Enter');
      assert.equal(await page.evaluate('document.activeElement.id'), 'view');
      await page.getByRole('button', { name: 'Sign out alice' }).press('Enter');
      await page.getByRole('button', { name: 'nobody', pressed: true }).waitFor();
      assert.equal(await focused(), 'nobody');
    });
  });

  test('the checks of a refusal are no wider than a small phone', async () => {
    await withPage(
      async (page) => {
        await openExplorer(page, gateway, 'call');
        await page.getByRole('button', { name: 'Send as nobody' }).click();
        await page.getByText('✗ no_credentials').waitFor();
        const width = await page.evaluate<number>('document.documentElement.scrollWidth');
        assert.ok(width <= 320, `${width} px wide`);
      },
      { width: 320 },
    );
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`axe-core finds nothing in any view, ${colorScheme}, and none is wider than a phone`, async () => {
      await withPage(
        async (page) => {
          await openExplorer(page, gateway);
          await signInAs(page, alice);
          const titles = new Set<string>();
          for (const view of views) {
            await page.goto(`${gateway}/explorer/#${view}`);
            await page.locator(`nav a[aria-current][href="#${view}"]`).waitFor();
            if (view === 'call') {
              await page.getByRole('button', { name: 'Send as alice' }).click();
              await page.getByRole('heading', { name: /^200 after/ }).waitFor();
            }
            assert.deepEqual(await violations(page), [], view);
            titles.add(await page.title());
            const width = await page.evaluate<number>('document.documentElement.scrollWidth');
            assert.ok(width <= 360, `${view} is ${width} px wide`);
            assert.deepEqual(await page.evaluate(brokenWords), [], view);
          }
          assert.equal(titles.size, views.length, [...titles].join());
        },
        { width: 360, colorScheme },
      );
    });
  }
});
