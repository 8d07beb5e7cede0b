import { mkdirSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { addressesOf, freePorts, startSystem, temporaryDirectory } from '../system.ts';
import { launchChromium } from './chromium.ts';
import { openDocs } from './docs.ts';
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
await browser.close();
await system.stop();

async function takePictures(name: PictureName, page: Page, fullPage: boolean): Promise<void> {
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.screenshot({ path: screenshotOf(name, scheme).pathname, fullPage });
  }
}
