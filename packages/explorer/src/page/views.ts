import type { TemplateResult } from 'lit-html';
import { focusOn } from './changes.ts';
import { callView } from './views/call.ts';
import { labView } from './views/lab.ts';
import { liveView } from './views/live.ts';
import { overview } from './views/overview.ts';
import { tokenView } from './views/token.ts';

/** The views, by the fragment of the address. Another one is a file in views/ and a line here. */
export const views: Record<string, { title: string; view: () => TemplateResult }> = {
  start: { title: 'Start', view: overview },
  call: { title: 'Call', view: callView },
  token: { title: 'Token', view: tokenView },
  lab: { title: 'Lab', view: labView },
  live: { title: 'Live', view: liveView },
};

/** The name of the view that the address asks for. */
export function currentView(): string {
  const name = location.hash.slice(1);
  return Object.hasOwn(views, name) ? name : 'start';
}

/**
 * Follows the address from view to view; a new one gets the focus, for it is what whoever went there wants to read, and its
 * name stands in the tab and in the history.
 */
export function watchAddress(): void {
  nameTab();
  window.addEventListener('hashchange', () => {
    nameTab();
    focusOn('#view');
  });
}

function nameTab(): void {
  const name = currentView();
  document.title = `${name === 'start' ? '' : `${views[name]?.title} · `}Explorer · Gatehouse`;
}
