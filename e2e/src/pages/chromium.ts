import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, type BrowserContext, chromium } from 'playwright-core';

// Without the window that nobody sees, a quarter of the time is saved.
const names = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome'];

/** The Chromium of this machine: CHROMIUM_PATH, or the first of these on the PATH. */
export function findChromium(): string | undefined {
  const { CHROMIUM_PATH, PATH = '' } = process.env;
  if (CHROMIUM_PATH) return CHROMIUM_PATH;
  return PATH.split(delimiter)
    .flatMap((directory) => names.map((name) => join(directory, name)))
    .find((path) => existsSync(path));
}

/** Test options that skip, with the reason, where there is no Chromium; under CI=true the test then fails instead. */
export function needsChromium(): { skip: string | false } {
  const isMissing = findChromium() === undefined && process.env.CI !== 'true';
  return { skip: isMissing && 'no Chromium: install one, or set CHROMIUM_PATH' };
}

/** A Chromium without a window. */
export async function launchChromium(): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error('no Chromium: install one, or set CHROMIUM_PATH');
  // Its sandbox needs rights that root in a container does not have. It opens our own pages and no others.
  const args = ['--disable-lcd-text', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
  // It knows nothing of NODE_EXTRA_CA_CERTS.
  if (process.env.TLS_DIRECTORY) args.push('--ignore-certificate-errors');
  return chromium.launch({ executablePath, args });
}

/** What pages complain of from now on, and what they ask of anybody but `origin`; answers that say no are expected. */
export function watchFaults(context: BrowserContext, origin: string): readonly string[] {
  const faults: string[] = [];
  context.on('console', (message) => {
    // Chromium complains of such answers by their status.
    const isExpected = /^Failed to load resource: .* status of 4\d\d/.test(message.text());
    if (['error', 'warning'].includes(message.type()) && !isExpected) faults.push(message.text());
  });
  context.on('weberror', (error) => faults.push(String(error.error())));
  context.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin && url.protocol !== 'data:') faults.push(`asked ${url}`);
  });
  return faults;
}
