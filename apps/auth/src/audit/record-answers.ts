import { decodeJwt } from 'jose';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { orUnavailable } from '../protocol/unavailable.ts';
import type { AuditEvent, AuditLog } from './audit-log.ts';

type Middleware = (ctx: KoaContextWithOIDC, next: () => Promise<void>) => Promise<void>;

/**
 * Records what oidc-provider is about to answer, between its work and the answer: it does not wait for whoever listens to
 * its events. A token whose record fails does not leave; the answer is 503.
 */
export function recordAnswers(audit: AuditLog): Middleware {
  return async (ctx, next) => {
    await next();
    const event = eventOf(ctx);
    // The request of the connection, whatever stands in for it where a form was changed.
    if (event) await orUnavailable(() => audit.record(event, ctx.request.req));
  };
}

function eventOf(ctx: KoaContextWithOIDC): AuditEvent | undefined {
  const { oidc, body } = ctx as { oidc?: KoaContextWithOIDC['oidc']; body: unknown };
  const answer = body as { access_token?: string; error?: string } | undefined;
  const clientId = oidc?.client?.clientId;
  if (oidc === undefined || typeof answer !== 'object') return undefined;
  // With 400, it is a browser that names a client which there is not.
  if (answer.error === 'invalid_client' && ctx.status === 401) {
    return { event: 'client-authentication', outcome: 'failure', clientId, detail: { at: oidc.route } };
  }
  if (oidc.route !== 'token' || answer.access_token === undefined) return undefined;
  const { gid, jti, sub, aud, scope } = decodeJwt<{ gid?: string; scope?: string }>(answer.access_token);
  const detail = { grant: oidc.params?.grant_type, scope, audience: aud, gid, jti };
  // A client's own token has no grant, and no account.
  const accountId = gid === undefined ? undefined : sub;
  return { event: 'token-issue', outcome: 'success', accountId, clientId, detail };
}
