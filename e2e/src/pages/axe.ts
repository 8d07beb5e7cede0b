import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds wrong with a page: the rule, how bad it is, and the elements. */
export async function violations(page: Page): Promise<string[]> {
  // The page's policy lets it load no script, and this one is not the page's.
  await page.evaluate(axe);
  const { violations: found } = await page.evaluate<AxeResults>('axe.run()');
  return found.map(({ id, impact, nodes }) => `${id} (${impact}) ${nodes.map(({ html }) => html).join(' ')}`);
}
