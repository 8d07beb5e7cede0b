import { errors, type KoaContextWithOIDC } from 'oidc-provider';

const longestLifeSeconds = 5 * 60;

/**
 * What Gatehouse asks of a client's assertion beyond RFC 7523: it is for this server and no other, so that one that was
 * made for somebody else's token endpoint is worth nothing here, and it is short-lived, so that it is soon forgotten.
 */
export function requireNarrowAssertion({ oidc }: KoaContextWithOIDC, claims: Record<string, unknown>): void {
  const { aud, exp } = claims;
  if (aud !== oidc.issuer)
    throw new errors.InvalidClientAuth('the audience must be the issuer, and nothing else');
  const latest = Math.floor(Date.now() / 1000) + longestLifeSeconds;
  if (typeof exp !== 'number' || exp > latest) {
    throw new errors.InvalidClientAuth(`the assertion must expire within ${longestLifeSeconds} seconds`);
  }
}
