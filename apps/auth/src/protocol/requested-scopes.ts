import { type Client, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { apiScopes } from './scopes.ts';

/** The API scopes that this client may ask for. */
export function allowedScopes(client: Client): string[] {
  const allowed = new Set(String(client.allowed_scopes ?? '').split(' '));
  return apiScopes.filter((scope) => allowed.has(scope));
}

/**
 * The scopes that the request asks for, when each is allowed.
 * @throws InvalidScope for any other, and when none is asked for (RFC 6749, section 3.3)
 */
export function requireScopes(ctx: KoaContextWithOIDC, allowed: readonly string[]): string[] {
  const asked = [...ctx.oidc.requestParamScopes];
  if (asked.length === 0) throw new errors.InvalidScope('ask for at least one scope', '');
  const refused = asked.filter((scope) => !allowed.includes(scope));
  if (refused.length > 0) throw new errors.InvalidScope('requested scope is not allowed', refused.join(' '));
  return asked;
}
