import type { Logger } from '@gatehouse/service-kit';
import type { JWK } from 'jose';
import {
  type AccessToken,
  type AdapterFactory,
  type Client,
  type ClientCredentials,
  errors,
  interactionPolicy,
  type KoaContextWithOIDC,
  Provider,
  type RefreshToken,
} from 'oidc-provider';
import type { AccountStore } from '../accounts/accounts.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { ownClientMetadata, type RegisteredClient, tokenExchange } from '../clients/clients.ts';
import { scopesInOwnName } from '../grants/client-credentials.ts';
import { deviceFlow } from '../grants/device-grant.ts';
import { actorOf } from '../grants/token-exchange.ts';
import { selectAccount } from '../interaction/finish-sign-in.ts';
import type { RememberedGrants } from '../interaction/remembered-grants.ts';
import { SigningKey } from '../keys/signing-key.ts';
import { renderError } from '../pages/error.ts';
import { logoutSource, postLogoutSuccessSource } from '../pages/logout.ts';
import type { Revocations } from '../revocation/revocation.ts';
import type { Sessions } from '../sessions/sessions.ts';
import { requireNarrowAssertion } from './client-assertions.ts';
import { fetchOutside } from './ended-sessions.ts';
import { mendProvider } from './mend-provider.ts';
import { allowedScopes, requireScopes } from './requested-scopes.ts';
import { apiAudience, isApi, lifetimes, openidScopes, resourceServer } from './scopes.ts';
import { orUnavailable } from './unavailable.ts';

export interface ProviderDependencies {
  issuer: string;
  adapter: AdapterFactory;
  signingKeys: readonly JWK[];
  cookieKey: string;
  clients: readonly RegisteredClient[];
  accounts: AccountStore;
  grants: Pick<RememberedGrants, 'load'>;
  sessions: Pick<Sessions, 'end' | 'leave'>;
  revocations: Pick<Revocations, 'revokeAll'>;
  audit: AuditLog;
  logger: Logger;
}

const clientAuthMethods = ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'] as const;
const clientAssertionAlgorithms = ['ES256', 'PS256', 'EdDSA'] as const;

/** The OAuth and OpenID protocol of oidc-provider under the policy of Gatehouse; grants of our own are added to it. */
export function createProvider(deps: ProviderDependencies): Provider {
  const { issuer, accounts } = deps;
  const isSecure = issuer.startsWith('https:');
  const { origin: ownOrigin } = new URL(issuer);
  const provider = new Provider(issuer, {
    adapter: deps.adapter,
    clients: [...deps.clients],
    jwks: { keys: deps.signingKeys.map((key) => new SigningKey(key)) },
    clientAuthMethods: [...clientAuthMethods],
    assertJwtClientAuthClaimsAndHeader: requireNarrowAssertion,
    extraClientMetadata: { properties: [...ownClientMetadata] },
    clientDefaults: {
      id_token_signed_response_alg: 'ES256',
      // A client hears which of an account's sessions has ended.
      backchannel_logout_session_required: true,
    },
    enabledJWA: {
      idTokenSigningAlgValues: ['ES256'],
      clientAuthSigningAlgValues: [...clientAssertionAlgorithms],
      // What the gateway and the services take.
      dPoPSigningAlgValues: ['ES256'],
    },

    discovery: {
      introspection_endpoint_auth_methods_supported: clientAuthMethods,
      introspection_endpoint_auth_signing_alg_values_supported: clientAssertionAlgorithms,
      revocation_endpoint_auth_methods_supported: clientAuthMethods,
      revocation_endpoint_auth_signing_alg_values_supported: clientAssertionAlgorithms,
    },

    // OAuth 2.1: the code flow with PKCE S256, for every client, to an address that is told each time.
    responseTypes: ['code'],
    pkce: { required: () => true },
    allowOmittingSingleRegisteredRedirectUri: false,
    rotateRefreshToken: true,
    // A grant once revoked is never used again: its gid is on the denylist.
    revokeGrantPolicy: () => true,
    loadExistingGrant: deps.grants.load,
    // Signing out ends the refresh tokens too, also those with offline_access.
    expiresWithSession: () => true,

    clientBasedCORS: (_ctx, origin, client) => origin === ownOrigin || isOriginOf(origin, client),

    scopes: openidScopes,
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] },
    findAccount: async (_ctx, accountId) => {
      const account = await orUnavailable(() => accounts.find(accountId));
      if (!account || account.disabled) return undefined;
      const {
        id,
        displayName,
        username,
        email,
        emailVerified = false,
        roles,
        tokensNotBefore,
        sessionsNotBefore,
        readAt,
      } = account;
      const address = email === undefined ? {} : { email, email_verified: emailVerified };
      const claims = { sub: id, name: displayName, preferred_username: username, ...address };
      return { accountId: id, roles, tokensNotBefore, sessionsNotBefore, readAt, claims: () => claims };
    },
    formats: {
      customizers: {
        jwt: ({ oidc }, _token, jwt) => {
          // Tokens of an account end by their date, up to 4 s ahead: those that follow must not. And whatever is signed of
          // an account that was read before must, however late that is.
          const { account } = oidc;
          const readAt = Number(account?.readAt ?? jwt.payload.iat);
          jwt.payload.iat = Math.max(readAt, Number(account?.tokensNotBefore ?? 0));
        },
      },
    },
    extraTokenClaims: (ctx, token) => {
      if (token.kind !== 'AccessToken') return { roles: [] };
      const act = token.gty === tokenExchange ? { act: actorOf(ctx, token.clientId) } : {};
      return { gid: token.grantId, roles: ctx.oidc.account?.roles ?? [], ...act };
    },

    ttl: {
      AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? lifetimes.accessToken,
      ClientCredentials: accessTokenLifetime,
      AuthorizationCode: lifetimes.authorizationCode,
      DeviceCode: lifetimes.deviceCode,
      IdToken: lifetimes.idToken,
      Interaction: lifetimes.interaction,
      // What anybody may have us remember by asking to sign out is soon forgotten.
      Session: (_ctx, { accountId }) => (accountId ? lifetimes.session : lifetimes.interaction),
      Grant: lifetimes.session,
      RefreshToken: refreshTokenLifetime,
    },
    cookies: {
      // RFC 6265bis, 4.1.3: the name itself makes browsers insist on Secure, our host and the whole path.
      names: {
        session: isSecure ? '__Host-session' : 'session',
        interaction: 'interaction',
        resume: 'resume',
      },
      keys: [deps.cookieKey],
      long: { signed: true },
      short: { signed: true },
    },
    interactions: { policy: signInPolicy(), url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    renderError,
    fetch: fetchOutside,
    features: {
      // What lets SigningKey sign.
      externalSigningSupport: { enabled: true, ack: 'experimental-01' },
      devInteractions: { enabled: false },
      pushedAuthorizationRequests: { enabled: true },
      // Without nonces: that each proof is good once asks for no second round trip.
      dPoP: { enabled: true },
      clientCredentials: { enabled: true },
      deviceFlow,
      introspection: { enabled: true, allowedPolicy: mayIntrospect },
      revocation: { enabled: true, allowedPolicy: mayRevoke },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true, logoutSource, postLogoutSuccessSource },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => apiAudience,
        // One token works at the API and at userinfo.
        useGrantedResource: () => true,
        getResourceServerInfo: apiFor,
      },
    },
    routes: {
      authorization: '/authorize',
      pushed_authorization_request: '/par',
      token: '/token',
      device_authorization: '/device/authorize',
      code_verification: '/device',
      introspection: '/introspect',
      revocation: '/revoke',
      userinfo: '/userinfo',
      end_session: '/logout',
      jwks: '/.well-known/jwks.json',
    },
  });

  // speakAsIssuer has made these headers say what ISSUER says.
  provider.proxy = true;
  mendProvider(provider, deps);
  return provider;
}

function apiFor(ctx: KoaContextWithOIDC, resource: string, client: Client) {
  if (ctx.oidc.params?.grant_type === 'client_credentials') {
    const own = scopesInOwnName(client, resource);
    if (own === undefined) throw new errors.InvalidTarget();
    requireScopes(ctx, own);
    return resourceServer(resource, own);
  }
  if (!isApi(resource, ctx.oidc.issuer)) throw new errors.InvalidTarget();
  const api = allowedScopes(client);
  const granted = [...api, 'openid', 'profile', 'email'];
  const asked = [...ctx.oidc.requestParamScopes];
  // RFC 6749, 3.3: there is no default. At the token endpoint, what was granted is.
  const isOmitted = asked.length === 0 && ctx.oidc.route === 'token';
  if (!isOmitted && !asked.some((scope) => granted.includes(scope))) requireScopes(ctx, granted);
  return resourceServer(apiAudience, granted);
}

function accessTokenLifetime(_ctx: unknown, _token: unknown, client: Client): number {
  return (client.access_token_seconds as number | undefined) ?? lifetimes.accessToken;
}

function refreshTokenLifetime({ oidc }: KoaContextWithOIDC): number {
  const grantEnd = oidc.entities.Grant?.exp ?? Number.POSITIVE_INFINITY;
  const left = grantEnd - Math.floor(Date.now() / 1000);
  return Math.max(1, Math.min(left, lifetimes.unusedRefreshToken));
}

// A session can outlast its account: then somebody else has to sign in. And a device was never here: what was allowed
// to one says nothing of the next (RFC 8628, 5.4).
function signInPolicy() {
  const policy = interactionPolicy.base();
  const isDevice = ({ oidc }: KoaContextWithOIDC) => Boolean(oidc.deviceCode && !oidc.result?.consent);
  const isGone = ({ oidc }: KoaContextWithOIDC) => Boolean(oidc.session?.accountId && !oidc.account);
  policy.add(new interactionPolicy.Prompt({ name: selectAccount, requestable: true }), 0);
  policy.get('login')?.checks.add(new interactionPolicy.Check('no_account', 'the account is gone', isGone));
  policy
    .get('consent')
    ?.checks.add(new interactionPolicy.Check('device', 'devices ask every time', isDevice));
  return policy;
}

type AnyToken = AccessToken | ClientCredentials | RefreshToken;

function mayIntrospect(_ctx: KoaContextWithOIDC, client: Client, token: AnyToken) {
  const isForClient = 'aud' in token && token.aud !== undefined && token.aud === client.resource_audience;
  return isForClient || token.clientId === client.clientId;
}

function mayRevoke(_ctx: KoaContextWithOIDC, client: Client, token: AnyToken) {
  if (token.clientId === client.clientId) return true;
  // RFC 7009, 2.1: the request is refused and the client told so.
  throw new errors.UnauthorizedClient('the token was issued to another client');
}

// A secret has no place in a browser, so only public clients call from one, and from where they live. Within our own
// origin nothing is shared across origins: there the explorer tries things out with the clients of the demo.
function isOriginOf(origin: string, client: Client): boolean {
  const isPublic = client.clientAuthMethod === 'none';
  // What an app's own scheme has for an origin, so has every sandboxed frame.
  const isOpaque = origin === 'null';
  return (
    isPublic && !isOpaque && (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin)
  );
}
