import { html, type TemplateResult } from 'lit-html';

/** What moves in the system, for an admin. */
export function liveView(): TemplateResult {
  return html`<h1>Live</h1>`;
}
