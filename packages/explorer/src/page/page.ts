import { html, nothing, type TemplateResult } from 'lit-html';
import { changed } from './changes.ts';
import { identityBar } from './identity-bar.ts';
import { tour } from './tour.ts';
import { currentView, views } from './views.ts';

let fault = '';

// What no view has expected: that there is no answer, most of all. It stands there until something else is tried.
window.addEventListener('unhandledrejection', ({ reason }) => {
  fault = `That did not work: ${reason instanceof Error ? reason.message : reason}`;
  changed();
});
window.addEventListener('click', () => {
  fault = '';
  changed();
});

/** The whole page. */
export function page(): TemplateResult {
  const current = currentView();
  const links = Object.entries(views).map(
    ([name, { title }]) =>
      html`<li><a href="#${name}" aria-current=${name === current ? 'page' : nothing}>${title}</a></li>`,
  );
  return html`
    <a class="skip" href="#view" @click=${skip}>To the content</a>
    <header>
      <p class="brand"><img src="/explorer/icon.svg" alt="" width="20" height="20" />Gatehouse explorer</p>
      <nav aria-label="Views"><ul>${links}</ul></nav>
      <p class="elsewhere"><a href="/docs">API documentation</a></p>
    </header>
    ${identityBar()} ${tour()}
    <p class="fault" role="alert">${fault}</p>
    <main id="view" tabindex="-1">${views[current]?.view()}</main>
  `;
}

function skip(event: Event): void {
  event.preventDefault();
  document.querySelector<HTMLElement>('#view')?.focus();
}
