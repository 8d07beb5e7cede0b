import { html, nothing, type TemplateResult } from 'lit-html';
import { identityBar } from './identity-bar.ts';
import { tour } from './tour.ts';
import { currentView, views } from './views.ts';

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
    <main id="view" tabindex="-1">${views[current]?.view()}</main>
  `;
}

function skip(event: Event): void {
  event.preventDefault();
  document.querySelector<HTMLElement>('#view')?.focus();
}
