import { errors, type KoaContextWithOIDC } from 'oidc-provider';

/**
 * For grants whose tokens are bound to no key: who sends a proof, or has to, is told so instead of being given a token
 * that anybody can use.
 */
export function refuseProof(ctx: KoaContextWithOIDC): void {
  if (ctx.get('DPoP') !== '' || ctx.oidc.client?.dpopBoundAccessTokens) {
    throw new errors.InvalidRequest('this grant gives no tokens that are bound to a key');
  }
}
