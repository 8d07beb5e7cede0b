import assert from 'node:assert/strict';
import type { BrowserContext, Page } from 'playwright-core';

/** Every page that people see, by the name of its screenshot, with its heading. */
export const headings = {
  'sign-in': 'Sign in',
  'sign-in-refused': 'Sign in',
  register: 'Create an account',
  'register-refused': 'Create an account',
  registered: 'Now sign in',
  consent: 'Allow Demo web shop?',
  'consent-new-scopes': 'Allow Demo web shop?',
  'device-code': 'Connect a device',
  'device-code-refused': 'Connect a device',
  'device-confirm': 'Is this your device?',
  'device-connected': 'Device connected',
  account: 'Your account',
  applications: 'Applications with access',
  'change-password': 'Change password',
  'sign-out-everywhere': 'Sign out everywhere?',
  logout: 'Sign out?',
  'signed-out': 'Signed out',
  error: 'This request cannot go on',
} as const;

export type PageName = keyof typeof headings;

/** Where the client of these pages is; nothing has to listen there. */
export const callbackUrl = 'http://localhost:9999/callback';

const password = 'seven herons over the harbour';

/**
 * Goes through every page as a person who is new here does, by its links and buttons alone.
 * @param visit is called on each page, once it is there
 */
export async function walkEveryPage(
  context: BrowserContext,
  {
    origin,
    username,
    visit,
  }: { origin: string; username: string; visit: (name: PageName, page: Page) => Promise<void> },
): Promise<void> {
  const page = await context.newPage();
  const arrive = async (name: PageName) => {
    const heading = await page.locator('h1').textContent();
    assert.equal(heading?.trim(), headings[name], `${name}: ${page.url()}\n${await page.content()}`);
    await visit(name, page);
  };
  const click = (role: 'button' | 'link', name: string) =>
    Promise.all([page.waitForEvent('load'), page.getByRole(role, { name, exact: true }).click()]);
  const press = (name: string) => click('button', name);
  const type = (label: string, text: string) => page.getByLabel(label, { exact: true }).fill(text);

  await page.goto(authorizeUrl(origin, 'openid profile items:read'));
  await arrive('sign-in');
  await click('link', 'Create an account');
  await arrive('register');
  await type('Username', username);
  await type('Your name (optional)', 'Robin Fields');
  await type('Password', 'password');
  await type('Password, once more', 'password');
  await press('Create account');
  await arrive('register-refused');
  await type('Password', password);
  await type('Password, once more', password);
  await press('Create account');
  await arrive('registered');
  await page.goto(authorizeUrl(origin, 'openid profile items:read'));
  await type('Username', username);
  await type('Password', 'not this one');
  await press('Sign in');
  await arrive('sign-in-refused');
  await type('Password', password);
  await press('Sign in');
  await arrive('consent');
  await Promise.all([untilBack(page), press('Allow')]);
  await page.goto(authorizeUrl(origin, 'openid profile items:read orders:write'));
  await arrive('consent-new-scopes');
  await Promise.all([untilBack(page), press('Allow')]);

  const code = await userCode(origin);
  await page.goto(`${origin}/device`);
  await arrive('device-code');
  await type('Code', 'BCDF-GHJK');
  await press('Next');
  await arrive('device-code-refused');
  await type('Code', code);
  await press('Next');
  await arrive('device-confirm');
  await press('Continue');
  await press('Allow');
  await arrive('device-connected');

  await page.goto(`${origin}/account`);
  await arrive('account');
  await click('link', 'Applications with access');
  await arrive('applications');
  await page.goto(`${origin}/account/password`);
  await arrive('change-password');
  await page.goto(`${origin}/account/sign-out-everywhere`);
  await arrive('sign-out-everywhere');

  await page.goto(`${origin}/logout`);
  await arrive('logout');
  await press('Sign out');
  await arrive('signed-out');
  await page.goto(`${origin}/authorize?client_id=nobody&response_type=code`);
  await arrive('error');
  await page.close();
}

/** Resolves when the browser goes back to the client with a code. */
export async function untilBack(page: Page): Promise<void> {
  const request = await page.waitForRequest((sent) => sent.url().startsWith(callbackUrl));
  assert.ok(new URL(request.url()).searchParams.has('code'), request.url());
}

/** A request of demo-web, whose code nobody redeems. */
export function authorizeUrl(origin: string, scope: string): string {
  const parameters = {
    client_id: 'demo-web',
    response_type: 'code',
    redirect_uri: callbackUrl,
    scope,
    state: 'some-state',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  };
  return `${origin}/authorize?${new URLSearchParams(parameters)}`;
}

async function userCode(origin: string): Promise<string> {
  const body = new URLSearchParams({ client_id: 'demo-cli', scope: 'openid items:read' });
  const answer = await fetch(`${origin}/device/authorize`, { method: 'POST', body });
  assert.equal(answer.status, 200);
  const { user_code: code } = (await answer.json()) as { user_code: string };
  return code;
}
