import type { PageName } from './walk.ts';

/** Where docs/pages.md finds the picture of a page. */
export function screenshotOf(name: PageName, scheme: 'light' | 'dark'): URL {
  return new URL(`../../../docs/screenshots/${name}-${scheme}.png`, import.meta.url);
}
