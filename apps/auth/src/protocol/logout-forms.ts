import type { KoaContextWithOIDC } from 'oidc-provider';
import { pageHeaders } from '../pages/layout.ts';
import { otherAccountPage } from '../pages/logout.ts';

interface LogoutState {
  secret?: string;
  postLogoutRedirectUri?: string;
  state?: string;
}

/**
 * Replaces the forms that oidc-provider has a script send: they are empty pages to whoever has none. One that comes when nobody
 * is signed in any more, from a second window, leads to where the first one did, and not to an error.
 */
export async function replaceLogoutForms(ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> {
  await next();
  const { oidc } = ctx as { oidc?: KoaContextWithOIDC['oidc'] };
  const isLate =
    oidc?.route === 'end_session_confirm' && oidc.body?.xsrf !== undefined && !oidc.session?.accountId;
  if (isLate && ctx.status === 400) {
    ctx.status = 303;
    ctx.redirect(oidc.urlFor('end_session_success'));
    return;
  }
  const { secret, postLogoutRedirectUri, state }: LogoutState = oidc?.session?.state ?? {};
  const isForm = ctx.status === 200 && secret !== undefined && String(ctx.body).includes(`value="${secret}"`);
  if (!oidc || !isForm) return;
  if (oidc.route === 'end_session' && !oidc.session?.accountId) {
    // Nobody is signed in, so there is nothing to ask. The address has been compared with the registered ones.
    const back = new URL(postLogoutRedirectUri ?? oidc.urlFor('end_session_success'));
    if (postLogoutRedirectUri !== undefined && state !== undefined) back.searchParams.set('state', state);
    ctx.set('Content-Security-Policy', pageHeaders()['Content-Security-Policy'] ?? '');
    ctx.status = 303;
    ctx.redirect(back.href);
  } else if (oidc.route.endsWith('resume')) {
    ctx.set(pageHeaders(oidc.entities.Interaction?.params.redirect_uri));
    ctx.body = otherAccountPage({ action: oidc.urlFor('end_session_confirm'), secret }).toString();
  }
}
