import type { KoaContextWithOIDC } from 'oidc-provider';
import { type Html, html, trustedHtml } from './html.ts';
import { layout, pageHeaders } from './layout.ts';

/**
 * Asks whether to sign out: the `logoutSource` of oidc-provider (OpenID Connect RP-Initiated Logout 1.0, section 2).
 * @param form the library's form with its own CSRF token, which the buttons belong to
 */
export function logoutSource(ctx: KoaContextWithOIDC, form: string): void {
  const { client, params } = ctx.oidc;
  const asker = client?.clientName ?? client?.clientId;
  ctx.set(pageHeaders(params?.post_logout_redirect_uri));
  ctx.type = 'html';
  ctx.body = layout(
    'Sign out?',
    html`<h1>Sign out?</h1>
<p class="lead">${
      asker === undefined
        ? 'You are about to sign out of Gatehouse.'
        : html`<strong><bdi>${asker}</bdi></strong> asks to sign you out of Gatehouse.`
    } Every application that you used in this session loses its access.</p>
${trustedHtml(form)}
<div class="actions">
<button class="primary" form="op.logoutForm" name="logout" value="yes" autofocus>Sign out</button>
<button form="op.logoutForm">Stay signed in</button>
</div>`,
  ).toString();
}

/** Tells whoever signed in that somebody else is signed in here still, who is signed out first. */
export function otherAccountPage({ action, secret }: { action: string; secret: string }): Html {
  return layout(
    'Another account is signed in',
    html`<h1>Another account is signed in</h1>
<p class="lead">This browser is signed in to Gatehouse with another account. Continue to sign that one out and use the new one.</p>
<form method="post" action="${action}">
<input type="hidden" name="xsrf" value="${secret}">
<div class="actions">
<button class="primary" name="logout" value="yes" autofocus>Continue</button>
</div>
</form>`,
  );
}

/** Tells how it ended, whether anybody is signed in still: the `postLogoutSuccessSource` of oidc-provider. */
export async function postLogoutSuccessSource(ctx: KoaContextWithOIDC): Promise<void> {
  const { client, provider } = ctx.oidc;
  const name = client?.clientName ?? client?.clientId;
  const left = name !== undefined && html`<strong><bdi>${name}</bdi></strong>`;
  const { accountId } = await provider.Session.get(ctx);
  ctx.set(pageHeaders());
  ctx.type = 'html';
  ctx.body = (
    accountId === undefined
      ? layout(
          'Signed out',
          html`<h1>Signed out</h1>
<p class="lead" role="status">You are signed out${left && html` of ${left}`}. You may close this page.</p>`,
        )
      : layout(
          'Still signed in',
          html`<h1>Still signed in</h1>
<p class="lead" role="status">You are ${left && html`signed out of ${left}, and `}still signed in to Gatehouse.</p>
<p class="note"><a href="/account">Your account</a></p>`,
        )
  ).toString();
}
