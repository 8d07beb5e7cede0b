import {
  AuthError,
  type Authenticate,
  type Caller,
  callerOf,
  createAuthenticate,
  type ProofIds,
  type PublicKey,
  schemeOf,
} from '@gatehouse/auth-middleware';
import type { Metrics } from '@gatehouse/service-kit';
import { type RequestHandler, Router } from 'express';
import type { JWK } from 'jose';
import type { Revocations } from '../revocation/revocation.ts';
import type { AccountStore } from './accounts.ts';

export interface AccountsGuardDependencies {
  issuer: string;
  /** Our own keys, the same object until they change. */
  publicKeys: () => { keys: readonly JWK[] };
  revocations: Revocations;
  accounts: AccountStore;
  proofIds: Pick<ProofIds, 'add'>;
  metrics: Metrics;
}

/**
 * Lets only live tokens for one audience pass, by the durable list of revocations and by the account as it is now: a
 * token with the scope of administrators is worth nothing once its subject is none.
 */
export function guardAccounts(
  { issuer, publicKeys, revocations, accounts, proofIds, metrics }: AccountsGuardDependencies,
  { audience, adminScope }: { audience: string; adminScope: string },
): Authenticate {
  const verify = createAuthenticate({
    issuer,
    audiences: [audience],
    keySet: {
      load: async () => {},
      current: () => publicKeys() as { keys: PublicKey[] },
      knows: (keyId) => publicKeys().keys.some(({ kid }) => kid === keyId),
      ageMs: () => 0,
      close: () => {},
    },
    // Whether it is revoked is asked below.
    denylist: { isRevoked: () => false },
    dpop: { origin: new URL(issuer).origin, proofIds },
    onVerdict: metrics.countVerdict,
  });

  const accountOf = async ({ tokenId: jti, subject: sub, issuedAt: iat, grantId: gid }: Caller) => {
    const account = await accounts.find(sub);
    const isOver = account?.disabled !== false || (await revocations.isRevoked({ jti, sub, iat, gid }));
    return isOver ? undefined : account;
  };
  const mayAdminister = ({ scopes }: Caller, roles: readonly string[]) =>
    !scopes.has(adminScope) || roles.includes('admin');

  const requireLive: RequestHandler = async (req, _res, next) => {
    const caller = callerOf(req);
    const scheme = schemeOf(caller);
    const account = await accountOf(caller);
    if (account === undefined) {
      throw new AuthError('invalid_token', 'The access token has been revoked', { scheme });
    }
    if (!mayAdminister(caller, account.roles)) {
      throw new AuthError('insufficient_scope', 'This needs a role that the caller does not have', {
        scheme,
      });
    }
    next();
  };

  return Object.assign(Router().use(verify, requireLive), {
    async isLive(caller: Caller) {
      const account = (await verify.isLive(caller)) ? await accountOf(caller) : undefined;
      return account !== undefined && mayAdminister(caller, account.roles);
    },
  });
}
