import { render } from 'lit-html';
import { onChange } from './changes.ts';
import { page } from './page.ts';
import { watchAddress } from './views.ts';

const root = document.querySelector<HTMLElement>('#app');
if (!root) throw new Error('the page has no place for the explorer');
// It said what to do in case that this never runs.
root.replaceChildren();
onChange(() => render(page(), root));
watchAddress();
