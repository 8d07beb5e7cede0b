import type { ResourceServer } from 'oidc-provider';

/** The audience of the tokens that clients call the gateway with. */
export const apiAudience = 'urn:gatehouse:api';

/** The audience of the tokens that the users service calls the accounts API of this server with. */
export const accountsAudience = 'urn:gatehouse:accounts';

/** The scopes of OpenID Connect, which say what a client learns about the account. */
export const openidScopes = ['openid', 'profile', 'email', 'offline_access'];

/** The scopes of the API, which say what a client may do. */
export const apiScopes = [
  'profile:read',
  'profile:write',
  'users:admin',
  'items:read',
  'items:write',
  'orders:read',
  'orders:write',
];

/** How long things live, in seconds. */
export const lifetimes = {
  accessToken: 5 * 60,
  authorizationCode: 60,
  deviceCode: 10 * 60,
  idToken: 5 * 60,
  interaction: 30 * 60,
  // The session, the grant and all its refresh tokens end together.
  session: 14 * 24 * 60 * 60,
  // A refresh token that nobody uses ends sooner.
  unusedRefreshToken: 7 * 24 * 60 * 60,
};

/** A resource server as oidc-provider wants it told, whose tokens are ES256-signed JWTs (RFC 9068). */
export function resourceServer(
  audience: string,
  scopes: readonly string[],
  lifetimeSeconds = lifetimes.accessToken,
): ResourceServer {
  return {
    audience,
    scope: scopes.join(' '),
    accessTokenFormat: 'jwt',
    accessTokenTTL: lifetimeSeconds,
    jwt: { sign: { alg: 'ES256' } },
  };
}
