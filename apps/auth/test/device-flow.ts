import assert from 'node:assert/strict';
import type { Browser, Page } from '@gatehouse/test-kit';
import { issuer, type TestAuth } from './start-test-auth.ts';

export const cli = { id: 'demo-cli' };

export interface DeviceCode {
  device_code: string;
  user_code: string;
}

/** A code that demo-cli has asked for. */
export async function requestCode(auth: TestAuth, scope = 'openid items:read'): Promise<DeviceCode> {
  const { status, body } = await auth.post('/device/authorize', { scope }, cli);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

/** The device's question whether its user has answered. */
export const poll = (auth: TestAuth, device_code: string, client: { id: string; secret?: string } = cli) =>
  auth.token({ grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code }, client);

/** Types a code into the page that asks for it. */
export async function enterCode(browser: Browser, user_code: string, headers = {}): Promise<Page> {
  const page = await browser.open(`${issuer}/device`);
  return browser.submit(page, { user_code }, { button: 'Next', headers });
}

/** Goes on from the page that asks whether this is the right device, to the last one. */
export async function confirm(browser: Browser, asked: Page, username = 'alice'): Promise<Page> {
  let page = await browser.submit(asked, {}, { button: 'Continue' });
  if ('password' in (page.forms[0]?.fields ?? {})) {
    page = await browser.submit(page, { username, password: `${username}-demo-pass` });
  }
  assert.match(page.text, /<h1>Allow <bdi>Demo command line/);
  return browser.submit(page, {}, { button: 'Allow' });
}

/** Does all that a person does with a code. */
export async function allowDevice(browser: Browser, { user_code }: DeviceCode): Promise<Page> {
  return confirm(browser, await enterCode(browser, user_code));
}
