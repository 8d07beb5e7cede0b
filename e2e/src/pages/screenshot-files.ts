import type { PageName } from './walk.ts';

export type ExplorerView = 'start' | 'call' | 'token' | 'lab' | 'live';
export type PictureName = PageName | 'docs' | `explorer-${ExplorerView}`;

/** Where docs/pages.md finds the picture of a page. */
export function screenshotOf(name: PictureName, scheme: 'light' | 'dark'): URL {
  return new URL(`../../../docs/screenshots/${name}-${scheme}.png`, import.meta.url);
}
