import { apiAudience } from '@gatehouse/service-kit';
import type { ResourceServer } from 'oidc-provider';

export { apiAudience };

/**
 * Whether a client that names this resource means the API: it may know the audience, or the address in the gateway's
 * metadata (RFC 9728), with or without the slash that a URL parser adds.
 */
export function isApi(resource: unknown, issuer: string): boolean {
  if (typeof resource !== 'string') return false;
  return resource === apiAudience || URL.parse(resource)?.href === new URL(issuer).href;
}

/** The audience of the tokens that the users service calls the accounts API of this server with. */
export const accountsAudience = 'urn:gatehouse:accounts';

/** The scopes of OpenID Connect, which say what a client learns about the account. */
export const openidScopes = ['openid', 'profile', 'email', 'offline_access'];

const apiScopeMeanings = {
  'profile:read': 'Read your profile',
  'profile:write': 'Change your profile',
  'users:admin': 'Manage every account: roles, sign-outs and who may sign in',
  'items:read': 'See items',
  'items:write': 'Add, change and delete your items',
  'orders:read': 'See your orders',
  'orders:write': 'Place and cancel orders for you',
};

/** The scopes of the API, which say what a client may do. */
export const apiScopes = Object.keys(apiScopeMeanings) as (keyof typeof apiScopeMeanings)[];

/** Each scope in plain words, for whoever is asked to allow it. */
export const scopeMeanings: Readonly<Record<string, string>> = {
  openid: 'Know that it is you',
  profile: 'See your name and username',
  email: 'See your e-mail address',
  offline_access: 'Keep this access while you are away',
  ...apiScopeMeanings,
  'items:reserve': 'Reserve items for you',
};

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
