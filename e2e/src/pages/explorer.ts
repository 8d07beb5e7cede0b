import type { Page } from 'playwright-core';

interface Account {
  username: string;
  password: string;
}

/** Opens a view of the explorer, for somebody who has seen the tour. */
export async function openExplorer(page: Page, origin: string, view = 'start'): Promise<void> {
  await page.addInitScript("localStorage.setItem('explorer-tour', 'seen')");
  await page.goto(`${origin}/explorer/#${view}`);
  await page.locator('h1').waitFor();
}

/** Signs somebody in as a person would, in the window that opens; `scopes` are asked for besides those proposed. */
export async function signInAs(
  page: Page,
  { username, password }: Account,
  scopes: string[] = [],
): Promise<void> {
  await page.getByRole('button', { name: '+ Sign in' }).click();
  const form = page.locator('#sign-in-form');
  for (const scope of scopes) await form.getByLabel(scope, { exact: true }).check();
  const [tab] = await Promise.all([
    page.waitForEvent('popup'),
    form.getByRole('button', { name: 'Sign in', exact: true }).click(),
  ]);
  await answerSignIn(tab, { username, password });
  await page.getByRole('button', { name: username, exact: true, pressed: true }).waitFor();
}

/** Signs in and allows, in the window of the authorization server. */
export async function answerSignIn(tab: Page, { username, password }: Account): Promise<void> {
  const closed = tab.waitForEvent('close');
  await tab.getByLabel('Username').fill(username);
  await tab.getByLabel('Password').fill(password);
  await tab.getByRole('button', { name: 'Sign in', exact: true }).click();
  const button = tab.getByRole('button', { name: 'Allow', exact: true });
  await Promise.race([closed, button.waitFor().then(() => button.click())]);
  await closed;
}
