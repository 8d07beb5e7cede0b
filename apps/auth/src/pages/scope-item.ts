import { scopeMeanings } from '../protocol/scopes.ts';
import { type Html, html } from './html.ts';

/** One scope in plain words, as an item of a list. */
export function scopeItem(scope: string): Html {
  const meaning = Object.hasOwn(scopeMeanings, scope) && scopeMeanings[scope];
  return html`<li>${meaning} <code>${scope}</code></li>\n`;
}
