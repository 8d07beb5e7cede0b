import { type Html, html } from './html.ts';
import { layout } from './layout.ts';
import { scopeItem } from './scope-item.ts';
import { signedInAs } from './signed-in-as.ts';

interface ConsentView {
  /** The path of the interaction, below which the forms post. */
  path: string;
  csrfToken: string;
  clientName: string;
  account: { username: string; displayName: string };
  /** What is asked for now. */
  scopes: readonly string[];
  /** What this client was allowed before. */
  grantedScopes: readonly string[];
  /** The host that the answer goes to; absent when no redirect follows. */
  returnsTo: string | undefined;
}

/** Asks the account to allow a client the scopes that are new, each in plain words. */
export function consentPage(view: ConsentView): Html {
  const { path, csrfToken, clientName, account, scopes, grantedScopes, returnsTo } = view;
  return layout(
    `Allow ${clientName}?`,
    html`<h1>Allow <bdi>${clientName}</bdi>?</h1>
<p class="lead">${signedInAs(account)}. ${
      grantedScopes.length === 0 ? 'This application asks to:' : 'This application now also asks to:'
    }</p>
<ul class="scopes">
${scopes.map(scopeItem)}</ul>
${
  grantedScopes.length > 0 &&
  html`<details><summary>What you have allowed before</summary>
<ul class="scopes">
${grantedScopes.map(scopeItem)}</ul>
</details>`
}
<form method="post" action="${path}/confirm">
<input type="hidden" name="csrf" value="${csrfToken}">
<div class="actions">
<button class="primary">Allow</button>
<button formaction="${path}/abort">Deny</button>
</div>
</form>
${returnsTo !== undefined && html`<p class="note">Either way you go back to <bdi>${returnsTo}</bdi>.</p>`}`,
  );
}
