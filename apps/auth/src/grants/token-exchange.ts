import { errors, type KoaContextWithOIDC, type Provider } from 'oidc-provider';
import { tokenExchange } from '../clients/clients.ts';
import { requireScopes } from '../protocol/requested-scopes.ts';
import { accountsAudience, apiAudience, lifetimes, resourceServer } from '../protocol/scopes.ts';
import { orUnavailable } from '../protocol/unavailable.ts';
import type { Actor, IssuedClaims, ReadIssuedToken } from '../revocation/issued-token.ts';
import type { ExchangedTokens } from './exchanged-tokens.ts';
import { refuseProof } from './refuse-proof.ts';

/** That a client may exchange tokens, which, and for what. */
export interface ExchangePolicy {
  client: string;
  /** Whom the token that it exchanges was issued for; the API unless told otherwise. */
  subjectAudience?: string;
  audience: string;
  /** What the subject must have allowed: one of these. */
  needs: readonly string[];
  /** What the client may then do on the subject's behalf. */
  allows: readonly string[];
}

/** Who may exchange what: nothing that is not written here. */
export const exchangePolicies: readonly ExchangePolicy[] = [
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
  exchanged: ExchangedTokens;
  policies: readonly ExchangePolicy[];
}

const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';

/**
 * Adds token exchange (RFC 8693) for calls from service to service: a narrower audience and scope, never a longer life,
 * `act` names the caller, and the token dies with the token it came from.
 */
export function registerTokenExchange(provider: Provider, deps: TokenExchangeDependencies): void {
  provider.registerGrantType<TokenExchangeParameters>(
    tokenExchange,
    async (ctx) => {
      const { client, params } = ctx.oidc;
      refuseProof(ctx);
      refuseUnsupported(params);
      const open = deps.policies.filter(
        (p) => p.client === client.clientId && p.audience === params.audience,
      );
      const [first] = open;
      if (!first) throw new errors.InvalidTarget('the client may not call this audience');
      const asked = ctx.oidc.requestParamScopes;
      const policy = open.find(({ allows }) => allows.some((scope) => asked.has(scope))) ?? first;
      const scopes = requireScopes(ctx, policy.allows);

      const subject = await deps.readIssuedToken(params.subject_token ?? '');
      // Only a person's token counts, not a client's.
      const { subjectAudience = apiAudience } = policy;
      if (subject?.aud !== subjectAudience || subject.gid === undefined) {
        throw new errors.InvalidGrant(
          `the subject token is no access token of a person for ${subjectAudience}`,
        );
      }
      const { audience, needs } = policy;
      if (!subject.scope.split(' ').some((scope) => needs.includes(scope))) {
        throw new errors.InvalidScope('the subject token does not have the scope for this', needs.join(' '));
      }

      const secondsLeft = subject.exp - Math.floor(Date.now() / 1000);
      if (secondsLeft < 1) throw new errors.InvalidGrant('the subject token has expired');
      const lifetime = Math.min(lifetimes.accessToken, secondsLeft);
      ctx.oidc.entity(subjectToken, subject);
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
      const access_token = await token.save();
      if (subject.act) {
        const link = { jti: token.jti, from: subject.jti, expiresIn: lifetime };
        await orUnavailable(() => deps.exchanged.remember(link));
      }
      // Last, so that either whoever ends the subject token finds the link, or we find that it has ended.
      if (!(await deps.isLive(subject))) throw new errors.InvalidGrant('the subject token is not live');
      ctx.body = {
        access_token,
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

const subjectToken = 'SubjectToken';

/** Who acts by the token that this request asks for, and for whom in turn, back to the first (RFC 8693, 4.1). */
export function actorOf({ oidc }: KoaContextWithOIDC, clientId: string | undefined): Actor {
  const subject = oidc.entities[subjectToken] as IssuedClaims | undefined;
  return { sub: String(clientId), ...(subject?.act && { act: subject.act }) };
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
