import { randomBytes } from 'node:crypto';
import { type AdapterPayload, type KoaContextWithOIDC, Provider } from 'oidc-provider';
import type { IssuedClaims } from './issued-token.ts';

/**
 * The JWTs that requests in flight have presented and that were found good. oidc-provider only works on tokens that a
 * store can find, so each is found for as long as its request lasts, and by that request alone.
 */
export interface PresentedTokens {
  /** Lets the request find this token under `id`. */
  present(ctx: KoaContextWithOIDC, id: string, claims: IssuedClaims, audience: string | undefined): void;
  /** What the request under way has presented under `id`. */
  find(model: string, id: string): AdapterPayload | undefined;
}

/** Kept beside the request under way, and gone with it. */
export function createPresentedTokens(): PresentedTokens {
  const presented = new WeakMap<KoaContextWithOIDC, { id: string; payload: AdapterPayload }>();
  return {
    present(ctx, id, claims, audience) {
      presented.set(ctx, { id, payload: toPayload(claims, audience) });
    },
    find(model, id) {
      const { ctx } = Provider;
      const found = ctx && presented.get(ctx);
      return found?.id === id && found.payload.kind === model ? found.payload : undefined;
    },
  };
}

/** A text that no store knows. */
export const randomHandle = () => randomBytes(32).toString('base64url');

function toPayload(claims: IssuedClaims, audience: string | undefined): AdapterPayload {
  const { jti, sub, client_id: clientId, iat, exp, scope, gid, roles, act, cnf } = claims;
  const token = {
    jti,
    iat,
    exp,
    clientId,
    scope,
    ...(audience !== undefined && { aud: audience }),
    ...(cnf && { jkt: cnf.jkt }),
  };
  if (gid === undefined) return { ...token, kind: 'ClientCredentials', extra: { roles } };
  return {
    ...token,
    kind: 'AccessToken',
    accountId: sub,
    extra: { roles, gid, ...(act && { act }) },
    // The grant of an exchanged token belongs to another client, and may not be revoked by this one.
    ...(!act && { grantId: gid }),
  };
}
