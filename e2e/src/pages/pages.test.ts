import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { gateway } from '../target.ts';
import { violations } from './axe.ts';
import { launchChromium, needsChromium } from './chromium.ts';
import { screenshotOf } from './screenshot-files.ts';
import { authorizeUrl, callbackUrl, headings, type PageName, untilBack, walkEveryPage } from './walk.ts';

const names = Object.keys(headings) as PageName[];
const schemes = ['light', 'dark'] as const;
const viewports = { desktop: { width: 1280, height: 800 }, phone: { width: 320, height: 568 } };

suite('the pages in Chromium', needsChromium(), () => {
  let browser: Browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  /** Walks through every page; what the browser complained of, and where else it went. */
  async function walk(javaScriptEnabled: boolean, visit: (name: PageName, page: Page) => Promise<void>) {
    const context = await browser.newContext({ javaScriptEnabled, viewport: viewports.desktop });
    const complaints: string[] = [];
    const strangers: string[] = [];
    context.on('console', (message) => {
      const { url } = message.location();
      const text = message.text();
      // Chromium complains of pages that say no by their status, and of a client that is not there.
      const isExpected = /^Failed to load resource: .* status of 4\d\d/.test(text) && !/\.\w+$/.test(url);
      const isExcused = isExpected || url.startsWith(callbackUrl);
      if (['error', 'warning'].includes(message.type()) && !isExcused) complaints.push(text);
    });
    context.on('weberror', (error) => complaints.push(String(error.error())));
    context.on('request', (request) => {
      const isOwn = new URL(request.url()).origin === gateway;
      if (!isOwn && !request.url().startsWith(callbackUrl)) strangers.push(request.url());
    });
    const visited: PageName[] = [];
    const username = `visitor-${randomBytes(4).toString('hex')}`;
    await walkEveryPage(context, {
      origin: gateway,
      username,
      async visit(name, page) {
        visited.push(name);
        await visit(name, page);
      },
    });
    await context.close();
    assert.deepEqual(visited.sort(), [...names].sort());
    return { complaints, strangers };
  }

  test('every page works without JavaScript', async () => {
    const { complaints, strangers } = await walk(false, async () => {});
    assert.deepEqual(complaints, []);
    assert.deepEqual(strangers, []);
  });

  test('every page is accessible in light and dark, fits desktop and phone, is worked by keyboard, and loads nothing of others', async () => {
    const faults: string[] = [];
    const { complaints, strangers } = await walk(true, async (name, page) => {
      for (const [device, viewport] of Object.entries(viewports)) {
        await page.setViewportSize(viewport);
        if (await isWiderThanScreen(page)) faults.push(`${name}: too wide for a ${device}`);
        for (const colorScheme of schemes) {
          await page.emulateMedia({ colorScheme });
          for (const violation of await violations(page))
            faults.push(`${name}, ${device}, ${colorScheme}: ${violation}`);
        }
      }
      await page.setViewportSize(viewports.desktop);
      for (const fault of await keyboardFaults(page)) faults.push(`${name}: ${fault}`);
    });
    assert.deepEqual(faults, []);
    assert.deepEqual(complaints, []);
    assert.deepEqual(strangers, []);
  });

  test('sign-in and consent are done by keyboard alone', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${authorizeUrl(gateway, 'openid items:read')}&prompt=consent`);
    // The first field takes the focus by itself.
    await page.locator('#username:focus').waitFor();
    await page.keyboard.type('bob');
    await page.keyboard.press('Tab');
    await page.keyboard.type('bob-demo-pass');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: headings.consent }).waitFor();
    for (let steps = 0; steps < 10 && (await focused(page)).text !== 'Allow'; steps += 1) {
      await page.keyboard.press('Tab');
    }
    assert.equal((await focused(page)).text, 'Allow');
    await Promise.all([untilBack(page), page.keyboard.press('Enter')]);
    await context.close();
  });
});

test('every page has its pictures, small ones, in the documentation', () => {
  const text = readFileSync(new URL('../../../docs/pages.md', import.meta.url), 'utf8');
  for (const name of names) {
    for (const scheme of schemes) {
      const file = screenshotOf(name, scheme);
      assert.ok(text.includes(`screenshots/${name}-${scheme}.png`), `docs/pages.md does not show ${name}`);
      assert.ok(statSync(file).size < 60_000, `${file.pathname} is too large`);
    }
  }
});

const isWiderThanScreen = (page: Page) =>
  page.evaluate<boolean>('document.documentElement.scrollWidth > document.documentElement.clientWidth');

const focused = (page: Page) =>
  page.evaluate<{ html: string; text: string; outline: string }>(`(() => {
    const { outerHTML, textContent } = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    return { html: outerHTML.slice(0, 120), text: textContent.trim(), outline: outlineStyle + ' ' + outlineWidth };
  })()`);

/** Tab goes through everything that can be used, in the order of the page, and shows where it is. */
async function keyboardFaults(page: Page): Promise<string[]> {
  const expected = await page.evaluate<string[]>(`(() => {
    const usable = document.querySelectorAll('a[href], button, summary, input:not([type=hidden])');
    const visible = [...usable].filter((element) => element.checkVisibility());
    visible[0]?.focus();
    return visible.map(({ outerHTML }) => outerHTML.slice(0, 120));
  })()`);
  const faults: string[] = [];
  const look = async (index: number) => {
    const { html, outline } = await focused(page);
    if (html !== expected[index]) faults.push(`the key leads to ${html}, not to ${expected[index]}`);
    if (outline !== 'solid 2px') faults.push(`the focus is not seen (${outline}) on ${html}`);
  };
  for (let index = 1; index < expected.length; index += 1) {
    await page.keyboard.press('Tab');
    await look(index);
  }
  for (let index = expected.length - 2; index >= 0; index -= 1) {
    await page.keyboard.press('Shift+Tab');
    await look(index);
  }
  return faults;
}
