import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';

/** Opens the API documentation and waits until the operations are there. */
export async function openDocs(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/docs`);
  await page.locator('.opblock').first().waitFor();
}

/** What a person does at Authorize. */
export interface Authorization {
  scopes: string[];
  username: string;
  password: string;
  /** To the question for consent, which is not asked again once it was allowed. */
  answer: 'Allow' | 'Deny';
}

/**
 * Goes through Authorize: chooses the scopes, signs in in the tab that opens, and answers there.
 * @returns what the page says when the answer was no
 */
export async function authorize(page: Page, authorization: Authorization): Promise<string> {
  const tab = await openSignIn(page, authorization.scopes);
  const closed = tab.waitForEvent('close');
  await tab.getByLabel('Username').fill(authorization.username);
  await tab.getByLabel('Password').fill(authorization.password);
  await tab.getByRole('button', { name: 'Sign in', exact: true }).click();
  const button = tab.getByRole('button', { name: authorization.answer, exact: true });
  await Promise.race([closed, button.waitFor().then(() => button.click())]);
  await closed;
  const dialog = page.locator('.dialog-ux');
  const errors = dialog.locator('.errors');
  await dialog.getByRole('button', { name: 'Remove authorization' }).or(errors).first().waitFor();
  const said = (await errors.allInnerTexts()).join(' ');
  await dialog.locator('.close-modal').click();
  return said;
}

/** Goes through Authorize as far as the tab that opens. */
export async function openSignIn(page: Page, scopes: string[]): Promise<Page> {
  await page.getByRole('button', { name: 'Authorize', exact: true }).first().click();
  const dialog = page.locator('.dialog-ux');
  await dialog.getByText('select none').click();
  for (const scope of scopes) {
    await dialog.locator(`label[for="${scope}-authorizationCode-checkbox-oauth2"]`).click();
  }
  const [tab] = await Promise.all([
    page.waitForEvent('popup'),
    dialog.getByRole('button', { name: 'Apply given OAuth2 credentials' }).click(),
  ]);
  await tab.waitForLoadState();
  return tab;
}

/** What "Try it out" shows of an answer. */
export interface TriedAnswer {
  status: number;
  text: string;
}

/** The body, and the values of parameters by their names. */
export interface TriedInput {
  body?: string;
  [parameter: string]: string | undefined;
}

/** Tries an operation out, with what the page proposes where `input` says nothing else. */
export async function tryOut(
  page: Page,
  operationId: string,
  { body, ...parameters }: TriedInput = {},
): Promise<TriedAnswer> {
  const operation = page.locator(`.opblock[id$="-${operationId}"]`);
  const summary = operation.locator('.opblock-summary-control');
  await summary.click();
  await operation.getByRole('button', { name: 'Try it out' }).click();
  for (const [name, value = ''] of Object.entries(parameters)) {
    await operation.locator(`tr[data-param-name="${name}"] input`).fill(value);
  }
  if (body !== undefined) await operation.locator('textarea').fill(body);
  await operation.getByRole('button', { name: 'Execute' }).click();
  const answer = operation.locator('.live-responses-table tbody tr.response');
  const status = Number.parseInt(await answer.locator('.response-col_status').innerText(), 10);
  assert.ok(status > 0, `${operationId} had no answer`);
  const text = await answer.innerText();
  await summary.click();
  return { status, text };
}
