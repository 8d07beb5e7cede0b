import { AuthError, callerOf, createAuthenticate, type PublicKey } from '@gatehouse/auth-middleware';
import type { Metrics } from '@gatehouse/service-kit';
import { type RequestHandler, Router } from 'express';
import type { JWK } from 'jose';
import { accountsAudience } from '../protocol/scopes.ts';
import type { Revocations } from '../revocation/revocation.ts';
import type { AccountStore } from './accounts.ts';

export interface AccountsGuardDependencies {
  issuer: string;
  /** Our own keys, the same object until they change. */
  publicKeys: () => { keys: readonly JWK[] };
  revocations: Revocations;
  accounts: AccountStore;
  metrics: Metrics;
}

/**
 * Lets only live tokens for the accounts API pass, by the durable list of revocations and by the account as it is now:
 * a token with `accounts:admin` is worth nothing once its subject is no administrator.
 */
export function guardAccounts({
  issuer,
  publicKeys,
  revocations,
  accounts,
  metrics,
}: AccountsGuardDependencies): RequestHandler {
  const verify = createAuthenticate({
    issuer,
    audiences: [accountsAudience],
    keySet: {
      load: async () => {},
      current: () => publicKeys() as { keys: PublicKey[] },
      knows: (keyId) => publicKeys().keys.some(({ kid }) => kid === keyId),
      close: () => {},
    },
    // Whether it is revoked is asked below.
    denylist: { isRevoked: () => false },
    // Exchanged tokens are bound to no key, so no proof is good.
    dpop: { origin: issuer, proofIds: { add: async () => false } },
    onVerdict: metrics.countVerdict,
  });

  const requireLive: RequestHandler = async (req, _res, next) => {
    const { tokenId: jti, subject: sub, issuedAt: iat, grantId: gid, scopes } = callerOf(req);
    const account = await accounts.find(sub);
    if (account?.disabled !== false || (await revocations.isRevoked({ jti, sub, iat, gid }))) {
      throw new AuthError('invalid_token', 'The access token has been revoked');
    }
    if (scopes.has('accounts:admin') && !account.roles.includes('admin')) {
      throw new AuthError('insufficient_scope', 'This needs a role that the caller does not have');
    }
    next();
  };

  return Router().use(verify, requireLive);
}
