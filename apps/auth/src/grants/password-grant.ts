import { errors, type Provider } from 'oidc-provider';
import type { AccountStore } from '../accounts/accounts.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { withinLimits } from '../limits/limit-protocol.ts';
import type { Limits } from '../limits/limits.ts';
import { allowedScopes, requireScopes } from '../protocol/requested-scopes.ts';
import { apiAudience, openidScopes, resourceServer } from '../protocol/scopes.ts';
import { orUnavailable } from '../protocol/unavailable.ts';
import { refuseProof } from './refuse-proof.ts';

/**
 * Adds the password grant (RFC 6749, section 4.3), which OAuth 2.1 has dropped: for the tutorials' first-party client,
 * where the deployment allows it. Its tokens have a grant like all others, so they are revoked like all others.
 */
export function registerPasswordGrant(
  provider: Provider,
  { accounts, limits, audit }: { accounts: AccountStore; limits: Limits; audit: AuditLog },
): void {
  provider.registerGrantType<{ username?: string; password?: string }>(
    'password',
    async (ctx) => {
      refuseProof(ctx);
      const { client, params } = ctx.oidc;
      const { username, password } = params;
      if (!username || !password) throw new errors.InvalidRequest('username and password are required');
      const scopes = requireScopes(ctx, [...openidScopes, ...allowedScopes(client)]);

      const account = await orUnavailable(async () => {
        const authenticate = () => accounts.authenticate(username, password);
        const { req } = ctx.request;
        const found = await withinLimits(() => limits.guessPassword(req, username, authenticate));
        const accountId = found?.id ?? (await accounts.idOf(username));
        const outcome = found ? 'success' : 'failure';
        const { clientId } = client;
        const detail = { by: 'password grant' };
        await audit.record({ event: 'sign-in', outcome, accountId, clientId, detail }, req);
        return found;
      });
      if (!account) throw new errors.InvalidGrant('username or password is wrong');
      const { roles, tokensNotBefore, sessionsNotBefore, readAt } = account;
      ctx.oidc.entity('Account', {
        accountId: account.id,
        roles,
        tokensNotBefore,
        sessionsNotBefore,
        readAt,
      });

      const accountId = account.id;
      const grant = new provider.Grant({ accountId, clientId: client.clientId });
      const tokenScopes = scopes.filter((scope) => scope !== 'offline_access');
      grant.addOIDCScope(scopes.filter((scope) => openidScopes.includes(scope)));
      grant.addResourceScope(apiAudience, tokenScopes);
      const grantId = await grant.save();
      const origin = { accountId, client, grantId, gty: 'password' };

      const token = new provider.AccessToken({ ...origin, scope: tokenScopes.join(' ') });
      token.resourceServer = new provider.ResourceServer(
        apiAudience,
        resourceServer(apiAudience, tokenScopes),
      );
      const accessToken = await token.save();

      const isLasting = scopes.includes('offline_access') && client.grantTypeAllowed('refresh_token');
      const refreshToken = new provider.RefreshToken({
        ...origin,
        scope: scopes.join(' '),
        resource: apiAudience,
        rotations: 0,
      });
      ctx.body = {
        access_token: accessToken,
        token_type: 'Bearer',
        expires_in: token.expiration,
        scope: token.scope,
        ...(isLasting && { refresh_token: await refreshToken.save() }),
      };
    },
    ['username', 'password', 'scope'],
  );
}
