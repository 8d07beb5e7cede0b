import type { ErrorOut, KoaContextWithOIDC } from 'oidc-provider';
import { type Html, html } from './html.ts';
import { layout, pageHeaders } from './layout.ts';

/**
 * Says what went wrong and what to do now.
 * @param code the OAuth error code, for whoever wrote the application
 */
export function errorPage(heading: string, explanation: string | Html, code?: string): Html {
  return layout(
    heading,
    html`<h1>${heading}</h1>
<p class="lead" role="alert">${explanation}</p>
${code !== undefined && html`<p class="note">Error code: <code>${code}</code></p>`}`,
  );
}

/** An error that no redirect may carry, as a page: the `renderError` of oidc-provider (RFC 6749, section 4.1.2.1). */
export function renderError(
  ctx: KoaContextWithOIDC,
  { error, error_description: description }: ErrorOut,
): void {
  ctx.set(pageHeaders());
  ctx.type = 'html';
  const page =
    ctx.status >= 500
      ? errorPage('Something went wrong', 'The fault is on our side. Please try again in a moment.', error)
      : errorPage('This request cannot go on', sentence(description), error);
  ctx.body = page.toString();
}

function sentence(description: string | undefined): string {
  // A parameter keeps its name.
  const begun = description?.replace(/^[a-z](?![a-z]*_)/, (letter) => letter.toUpperCase());
  const cause = begun ? `${begun}. ` : '';
  return `${cause}Please go back to the application and start again.`;
}
