import { mkdirSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { addressesOf, freePorts, startSystem, temporaryDirectory } from '../system.ts';
import { launchChromium } from './chromium.ts';
import { openDocs } from './docs.ts';
import { openExplorer, signInAs } from './explorer.ts';
import { type PictureName, screenshotOf } from './screenshot-files.ts';
import { walkEveryPage } from './walk.ts';

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

using directory = temporaryDirectory();
const ports = await freePorts();
const system = await startSystem(directory.path, ports);
const browser = await launchChromium();
mkdirSync(new URL('.', screenshotOf('sign-in', 'light')), { recursive: true });
// Without scripts: so no cursor blinks, and no page can be busy.
const context = await browser.newContext({ viewport: { width: 416, height: 560 }, javaScriptEnabled: false });
const origin = addressesOf(ports).BASE_URL;
await walkEveryPage(context, {
  origin,
  username: 'robin',
  visit: (name, page) => takePictures(name, page, true),
});
const docs = await browser.newPage({ viewport: { width: 1024, height: 640 } });
await openDocs(docs, origin);
await takePictures('docs', docs, false);
const explorer = await browser.newPage({ viewport: { width: 1024, height: 900 }, reducedMotion: 'reduce' });
await openExplorer(explorer, origin);
await takePictures('explorer-start', explorer, false);
await signInAs(explorer, { username: 'alice', password: 'alice-demo-pass' });
await explorer.goto(`${origin}/explorer/#token`);
await explorer.getByText('Verified here').waitFor();
await takePictures('explorer-token', explorer, false);
await explorer.goto(`${origin}/explorer/#lab`);
for (const name of ['Run: No token', 'Run: A tampered payload', 'Run: Algorithm none']) {
  await explorer.getByRole('button', { name }).click();
}
await explorer.getByText('3 of 3 held.').waitFor();
await takePictures('explorer-lab', explorer, false);
await explorer.goto(`${origin}/explorer/#call`);
await explorer.getByLabel('Route').selectOption('getUsers');
await explorer.getByRole('button', { name: 'Send as alice' }).click();
await explorer.getByText('✗ users:admin missing').waitFor();
await explorer
  .getByRole('heading', { name: 'What happened' })
  .evaluate((heading) => heading.scrollIntoView());
await takePictures('explorer-call', explorer, false);
await signInAs(explorer, { username: 'admin', password: 'admin-demo-pass' }, ['users:admin']);
await explorer.goto(`${origin}/explorer/#live`);
await explorer.locator('.audit tbody tr').first().waitFor();
await explorer.getByRole('cell', { name: 'signing', exact: true }).waitFor();
await explorer.getByLabel('Account').selectOption({ label: 'alice' });
await explorer.getByRole('button', { name: 'Revoke explorer' }).waitFor();
await takePictures('explorer-live', explorer, false);
await browser.close();
await system.stop();

async function takePictures(name: PictureName, page: Page, fullPage: boolean): Promise<void> {
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.screenshot({ path: screenshotOf(name, scheme).pathname, fullPage });
  }
}
