import { errors, type Provider } from 'oidc-provider';
import { tokenExchange } from '../clients/clients.ts';
import { requireScopes } from '../protocol/requested-scopes.ts';
import { accountsAudience, apiAudience, lifetimes, resourceServer } from '../protocol/scopes.ts';
import type { IssuedClaims, ReadIssuedToken } from '../revocation/issued-token.ts';

interface ExchangePolicy {
  client: string;
  audience: string;
  /** What the subject must have allowed: one of these. */
  needs: readonly string[];
  /** What the client may then do on the subject's behalf. */
  allows: readonly string[];
}

/** Who may exchange what: nothing that is not written here. */
const policies: readonly ExchangePolicy[] = [
  {
    client: 'orders-service',
    audience: 'urn:gatehouse:items',
    needs: ['orders:write'],
    allows: ['items:read', 'items:reserve'],
  },
  {
    client: 'users-service',
    audience: accountsAudience,
    needs: ['profile:read', 'profile:write'],
    allows: ['accounts:read'],
  },
  {
    client: 'users-service',
    audience: accountsAudience,
    needs: ['users:admin'],
    allows: ['accounts:admin'],
  },
];

interface TokenExchangeParameters {
  subject_token?: string;
  subject_token_type?: string;
  requested_token_type?: string;
  actor_token?: string;
  audience?: string;
  resource?: string;
}

interface TokenExchangeDependencies {
  readIssuedToken: ReadIssuedToken;
  isLive: (claims: IssuedClaims) => Promise<boolean>;
}

const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';

/**
 * Adds token exchange (RFC 8693) for calls from service to service: a narrower audience and scope, never a longer life,
 * `act` names the caller, and the token dies with the grant of the token it came from.
 */
export function registerTokenExchange(provider: Provider, deps: TokenExchangeDependencies): void {
  provider.registerGrantType<TokenExchangeParameters>(
    tokenExchange,
    async (ctx) => {
      const { client, params } = ctx.oidc;
      refuseUnsupported(params);
      const open = policies.filter((p) => p.client === client.clientId && p.audience === params.audience);
      const [first] = open;
      if (!first) throw new errors.InvalidTarget('the client may not call this audience');
      const asked = ctx.oidc.requestParamScopes;
      const policy = open.find(({ allows }) => allows.some((scope) => asked.has(scope))) ?? first;
      const scopes = requireScopes(ctx, policy.allows);

      const subject = await deps.readIssuedToken(params.subject_token ?? '');
      // Only a person's own token counts: not a client's, and not one that was exchanged already.
      if (subject?.aud !== apiAudience || subject.gid === undefined || !(await deps.isLive(subject))) {
        throw new errors.InvalidGrant('the subject token is not a live access token of the API');
      }
      const { audience, needs } = policy;
      if (!subject.scope.split(' ').some((scope) => needs.includes(scope))) {
        throw new errors.InvalidScope('the subject token does not have the scope for this', needs.join(' '));
      }

      const secondsLeft = subject.exp - Math.floor(Date.now() / 1000);
      if (secondsLeft < 1) throw new errors.InvalidGrant('the subject token has expired');
      const lifetime = Math.min(lifetimes.accessToken, secondsLeft);
      const { sub: accountId, roles, iat: tokensNotBefore } = subject;
      ctx.oidc.entity('Account', { accountId, roles, tokensNotBefore });
      const token = new provider.AccessToken({
        accountId: subject.sub,
        client,
        grantId: subject.gid,
        gty: tokenExchange,
        scope: scopes.join(' '),
        expiresIn: lifetime,
      });
      const target = resourceServer(audience, scopes, lifetime);
      token.resourceServer = new provider.ResourceServer(audience, target);
      ctx.body = {
        access_token: await token.save(),
        issued_token_type: accessTokenType,
        token_type: 'Bearer',
        expires_in: lifetime,
        scope: token.scope,
      };
    },
    [
      'subject_token',
      'subject_token_type',
      'requested_token_type',
      'actor_token',
      'audience',
      'resource',
      'scope',
    ],
  );
}

function refuseUnsupported(params: TokenExchangeParameters): void {
  const { subject_token, subject_token_type, requested_token_type = accessTokenType } = params;
  const { actor_token, resource } = params;
  if (!subject_token || subject_token_type !== accessTokenType || requested_token_type !== accessTokenType) {
    throw new errors.InvalidRequest('an access token is exchanged for an access token');
  }
  // The authenticated client is the actor.
  if (actor_token !== undefined) throw new errors.InvalidRequest('actor_token is not supported');
  if (resource !== undefined) throw new errors.InvalidTarget('name the target by its audience');
}
