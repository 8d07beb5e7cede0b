import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Browser, createBrowser, type Page } from '@gatehouse/test-kit';
import {
  type DeviceAuthorizationResponse,
  initiateDeviceAuthorization,
  pollDeviceAuthorizationGrant,
} from 'openid-client';
import { client } from '../clients.ts';
import { assertHardened, call } from '../http.ts';
import { assertDies, assertLive } from '../revoked.ts';
import type { User } from '../shapes.ts';
import { passwords, submitPassword, type Username } from '../sign-in.ts';
import { gateway } from '../target.ts';

interface TokenAnswer {
  error?: string;
  access_token?: string;
}

const config = await client('demo-cli');
const requestCode = (scope = 'openid profile:read items:read') =>
  initiateDeviceAuthorization(config, { scope });

/** The device's question, without the patience of the library. */
async function ask(device_code: string, client_id = 'demo-cli'): Promise<TokenAnswer> {
  const grant_type = 'urn:ietf:params:oauth:grant-type:device_code';
  return (await call<TokenAnswer>(`${gateway}/token`, { form: { grant_type, device_code, client_id } })).body;
}

async function enterCode(browser: Browser, { verification_uri, user_code }: DeviceAuthorizationResponse) {
  return browser.submit(await browser.open(verification_uri), { user_code }, { button: 'Next' });
}

/** Goes on from the question whether this is the right device, through sign-in and consent. */
async function approve(browser: Browser, question: Page, username: Username): Promise<Page> {
  const login = await browser.submit(question, {}, { button: 'Continue' });
  const consent = await submitPassword(browser, login, username, passwords[username]);
  const connected = await browser.submit(consent, {}, { button: 'Allow' });
  for (const page of [question, login, consent, connected]) assertHardened(page.headers, page.url);
  assert.match(connected.text, /Device connected/);
  return connected;
}

test('a device gets tokens that work once its user has confirmed the code, signed in and consented', async () => {
  const code = await requestCode();
  assert.equal(code.verification_uri, `${gateway}/device`);
  assert.equal(code.interval, 5);
  const polling = pollDeviceAuthorizationGrant(config, code);
  const browser = createBrowser();
  await approve(browser, await enterCode(browser, code), 'alice');
  const tokens = await polling;
  assert.equal(tokens.claims()?.aud, 'demo-cli');
  const me = await call<User>(`${gateway}/users/me`, { token: tokens.access_token });
  assert.equal(me.body.username, 'alice');
});

test('A30 the address with the code in it still asks for confirmation', async () => {
  const code = await requestCode();
  const browser = createBrowser();
  const entry = await browser.open(code.verification_uri_complete ?? '');
  assert.equal(entry.forms[0]?.fields.user_code, code.user_code);
  const question = await browser.submit(entry, {}, { button: 'Next' });
  assert.match(question.text, /Is this your device\?/);
  assert.ok(question.text.includes(code.user_code));
  assert.equal((await ask(code.device_code)).error, 'authorization_pending');
});

test('A29 a device that asks too soon is told to slow down', async () => {
  const { device_code } = await requestCode();
  assert.equal((await ask(device_code)).error, 'authorization_pending');
  assert.equal((await ask(device_code)).error, 'slow_down');
});

test('A30 denial is access_denied, and a device code of another client’s is refused', async () => {
  const code = await requestCode();
  assert.equal((await ask(code.device_code, 'explorer')).error, 'unauthorized_client');
  const browser = createBrowser();
  const question = await enterCode(browser, code);
  const refused = await browser.submit(question, {}, { button: 'This is not my device' });
  assert.match(refused.text, /Device not connected/);
  assert.equal((await ask(code.device_code)).error, 'access_denied');
});

test('A30 of 20 questions at once after the approval exactly one is answered with tokens', async () => {
  const code = await requestCode();
  const browser = createBrowser();
  await approve(browser, await enterCode(browser, code), 'bob');
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(code.device_code)));
  assert.equal(answers.filter(({ access_token }) => access_token).length, 1);
  for (const { error, access_token } of answers) assert.ok(access_token || error === 'invalid_grant', error);
});

test('A30 a device code sent again is refused, and what it gave dies at the gateway and at each service', async (t) => {
  const code = await requestCode();
  const browser = createBrowser();
  await approve(browser, await enterCode(browser, code), 'alice');
  const { access_token = '' } = await ask(code.device_code);
  await assertLive(access_token);
  assert.equal((await ask(code.device_code)).error, 'invalid_grant');
  t.diagnostic(await assertDies(access_token));
});

test('A40 A41 the device page refuses forms of other sites, and is framed by nobody', async () => {
  const code = await requestCode();
  const browser = createBrowser();
  const question = await enterCode(browser, code);
  assert.match(question.headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/);
  const headers = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
  const forged = await browser.submit(question, {}, { button: 'Continue', headers });
  assert.equal(forged.status, 403);
  assert.equal((await ask(code.device_code)).error, 'authorization_pending');
});
