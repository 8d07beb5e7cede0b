import assert from 'node:assert/strict';
import { randomInt, randomUUID } from 'node:crypto';
import type { Browser, Page } from '@gatehouse/test-kit';
import { type Answer, issuer, type TestAuth } from './start-test-auth.ts';

export const goodPassword = 'seven grey herons';

/** A name that nobody has. */
export function newName(): string {
  return `user-${randomUUID().slice(0, 8)}`;
}

/** The header of a request from an address that nothing else comes from, so that no limit is shared. */
export function fromSomewhere(): Record<string, string> {
  return { 'x-forwarded-for': `198.18.${randomInt(256)}.${randomInt(256)}` };
}

/** Asks for an account, as a program does. */
export function register(
  auth: TestAuth,
  body: unknown,
  headers: Record<string, string> = fromSomewhere(),
): Promise<Answer> {
  return auth.send('/register', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/** A new account, signed in to in a browser of its own. */
export async function signedInAsNew(auth: TestAuth) {
  const username = newName();
  assert.equal((await register(auth, { username, password: goodPassword })).status, 202);
  const browser = auth.browser();
  const account = await signInToAccount(browser, username);
  assert.equal(account.status, 200);
  return { username, browser, account };
}

/** Signs in on the way to the account page. */
export async function signInToAccount(
  browser: Browser,
  username: string,
  password = goodPassword,
): Promise<Page> {
  const form = await browser.open(`${issuer}/account`);
  return browser.submit(form, { username, password });
}
