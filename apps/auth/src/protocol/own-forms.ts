import type { KoaContextWithOIDC } from 'oidc-provider';
import { isFromOwnPage } from '../pages/csrf.ts';
import { renderError } from '../pages/error.ts';

const forms = ['/device', '/logout/confirm'];

/** Refuses the forms of oidc-provider when another site has sent them: it compares their tokens alone. */
export function refuseForeignForms(issuer: string) {
  return async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    const isForm = ctx.method === 'POST' && forms.includes(ctx.path);
    if (!isForm || isFromOwnPage(ctx.headers, issuer)) return next();
    ctx.status = 403;
    renderError(ctx, { error: 'access_denied', error_description: 'this form was sent by another site' });
  };
}
