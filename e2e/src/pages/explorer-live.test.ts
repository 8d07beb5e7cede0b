import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { register } from '../accounts.ts';
import { passwords, tokenOf } from '../sign-in.ts';
import { gateway } from '../target.ts';
import { violations } from './axe.ts';
import { launchChromium, needsChromium, watchFaults } from './chromium.ts';
import { openExplorer, signInAs } from './explorer.ts';

suite('the live view of the explorer in Chromium', { ...needsChromium(), timeout: 300_000 }, () => {
  let browser: Browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  test('an admin sees keys, denylist, grants and the audit log, each change as it comes, and acts on them; a customer does not', async () => {
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
    const faults = watchFaults(context, gateway);
    const page = await context.newPage();
    // As long as a name may be, and without a place to break it.
    const { username } = await register(randomUUID().replaceAll('-', ''));
    await openExplorer(page, gateway, 'live');
    await signInAs(page, { username: 'alice', password: passwords.alice }, ['users:admin']);
    await page.getByText('are for an admin').waitFor();
    await signInAs(page, { username: 'admin', password: passwords.admin }, ['users:admin']);

    const keys = page.locator('section', { has: page.getByRole('heading', { name: 'Signing keys' }) });
    await keys.getByText('signing', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Rotate' }).click();
    await page.getByText('A new key is published.').waitFor();
    await keys.getByText('published', { exact: true }).waitFor();
    await page.getByText('key-rotation').first().waitFor();
    assert.deepEqual(await violations(page), []);

    await page.locator('.audit tbody tr', { hasText: username }).first().waitFor();
    await page.setViewportSize({ width: 360, height: 900 });
    const width = await page.evaluate<number>('document.documentElement.scrollWidth');
    assert.ok(width <= 360, `${width} px wide`);

    const entries = page.locator('.audit tbody tr', { hasText: 'token-issue' });
    assert.doesNotMatch(await entries.first().innerText(), /bob/);
    await tokenOf('bob', 'profile:read');
    await entries.first().filter({ hasText: 'bob' }).waitFor();

    await page.getByLabel('Account').selectOption({ label: 'alice' });
    const row = page.getByRole('row', { name: /explorer/ }).filter({ has: page.getByRole('button') });
    assert.match(await row.innerText(), /orders:read/);
    await page.getByRole('button', { name: 'Revoke explorer' }).click();
    await page.getByText('What explorer was allowed is over.').waitFor();
    await row.waitFor({ state: 'detached' });
    await page.locator('#account:focus').waitFor();
    const denylist = page.locator('section', { has: page.getByRole('heading', { name: 'Denylist' }) });
    await denylist.getByText('a grant').first().waitFor();
    await page.goto(`${gateway}/explorer/#call`);
    await page.getByLabel('Route').selectOption('getAdminEvents');
    await page.getByRole('button', { name: 'Send as admin' }).click();
    await page.locator('pre.body', { hasText: 'event: ' }).waitFor();
    await page.getByRole('button', { name: 'alice', exact: true }).click();
    await page.getByLabel('Route').selectOption('getUsersMe');
    await page.getByRole('button', { name: 'Send as alice' }).click();
    await page.getByRole('heading', { name: /^401 after/ }).waitFor();
    await context.close();
    assert.deepEqual(faults, []);
  });

  test('what cannot be had is said to be old, comes by itself once there are answers again, and is over with the sign-in', async () => {
    const page = await (await browser.newContext()).newPage();
    await openExplorer(page, gateway);
    await signInAs(page, { username: 'admin', password: passwords.admin }, ['users:admin']);
    const fault = page.getByText('There is no answer right now.');
    const entry = page.locator('.audit tbody tr').first();
    for (const answer of [{ status: 503 }, undefined]) {
      await page.route('**/admin/**', (route) => (answer ? route.fulfill(answer) : route.abort()));
      await page.goto(`${gateway}/explorer/#live`);
      await fault.waitFor();
      await page.getByText('… entries').waitFor();
      await page.unroute('**/admin/**');
      await entry.waitFor();
      assert.equal(await fault.count(), 0);
      await page.goto(`${gateway}/explorer/#start`);
    }
    await page.goto(`${gateway}/explorer/#live`);
    await entry.waitFor();
    await page.getByLabel('Account').selectOption({ label: 'admin' });
    await page.getByRole('button', { name: 'Revoke explorer' }).click();
    await page.getByRole('button', { name: 'admin (ended)', exact: true }).waitFor();
    await page.getByText('are for an admin').waitFor();
    await page.context().close();
  });
});
