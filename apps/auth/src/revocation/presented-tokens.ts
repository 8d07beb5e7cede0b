import { randomBytes } from 'node:crypto';
import type { AdapterPayload } from 'oidc-provider';
import type { IssuedClaims } from './issued-token.ts';

/**
 * The JWTs that requests in flight have presented and that were found good. oidc-provider only works on tokens that a
 * store can find, so each stands under a random handle for as long as its request lasts.
 */
export interface PresentedTokens {
  /** @returns a handle that means this token until `forget` */
  present(claims: IssuedClaims, audience: string | undefined): string;
  find(model: string, handle: string): AdapterPayload | undefined;
  forget(handle: string): void;
}

export function createPresentedTokens(): PresentedTokens {
  const payloads = new Map<string, AdapterPayload>();
  return {
    present(claims, audience) {
      const handle = randomHandle();
      payloads.set(handle, toPayload(claims, audience));
      return handle;
    },
    find(model, handle) {
      const payload = payloads.get(handle);
      return payload?.kind === model ? payload : undefined;
    },
    forget(handle) {
      payloads.delete(handle);
    },
  };
}

/** A text that no store knows. */
export const randomHandle = () => randomBytes(32).toString('base64url');

function toPayload(claims: IssuedClaims, audience: string | undefined): AdapterPayload {
  const { jti, sub, client_id: clientId, iat, exp, scope, gid, roles, act } = claims;
  const token = { jti, iat, exp, clientId, scope, ...(audience !== undefined && { aud: audience }) };
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
