import type { Db } from '@gatehouse/service-kit';
import type { JWK } from 'jose';
import type { Provider } from 'oidc-provider';
import { withAudit } from '../audit/audited-adapter.ts';
import { createDeviceCodes } from '../grants/device-codes.ts';
import { paceDeviceGrant, withUserCodes } from '../grants/device-grant.ts';
import { createExchangedTokens } from '../grants/exchanged-tokens.ts';
import { registerPasswordGrant } from '../grants/password-grant.ts';
import { type ExchangePolicy, registerTokenExchange } from '../grants/token-exchange.ts';
import type { KeyRing, ServedKeys } from '../keys/key-ring.ts';
import { publicPart } from '../keys/keys.ts';
import { limitProtocol } from '../limits/limit-protocol.ts';
import type { Limits } from '../limits/limits.ts';
import { createIssuedTokenReader } from '../revocation/issued-token.ts';
import { createPresentedTokens } from '../revocation/presented-tokens.ts';
import type { Revocations } from '../revocation/revocation.ts';
import { acceptIssuedTokens, createIsLive } from '../revocation/token-status.ts';
import type { Sessions } from '../sessions/sessions.ts';
import { createAdapterFactory } from './adapter.ts';
import { publishOnly } from './mend-provider.ts';
import { createProvider, type ProviderDependencies } from './provider.ts';
import type { Vault } from './vault.ts';

interface CurrentProviderDependencies
  extends Omit<ProviderDependencies, 'adapter' | 'signingKeys' | 'cookieKey' | 'sessions'> {
  db: Db;
  vault: Vault;
  keys: KeyRing;
  revocations: Revocations;
  sessions: Sessions;
  limits: Limits;
  refreshGraceMs: number;
  allowPasswordGrant: boolean;
  exchangePolicies: readonly ExchangePolicy[];
}

/** The provider with its store, its grants and its limits, for the keys of the moment. */
export interface CurrentProvider {
  readonly provider: Provider;
  /** Answers the protocol's requests. */
  readonly answer: ReturnType<Provider['callback']>;
  /** The same object until the keys change. */
  readonly publicKeys: { keys: readonly JWK[] };
}

/**
 * Everything that speaks the protocol, to be asked for at each use: oidc-provider knows the keys that it was made with, and
 * is quickly made anew.
 */
export function createCurrentProvider(deps: CurrentProviderDependencies): () => CurrentProvider {
  const { issuer, db, vault, keys, accounts, revocations, audit } = deps;
  const presented = createPresentedTokens();
  const deviceCodes = createDeviceCodes(db, vault);
  const adapter = withUserCodes(withAudit(createAdapterFactory({ ...deps, presented }), audit), deviceCodes);
  const cookieKey = vault.derive('cookies').toString('base64url');

  function make({ published, remembered }: ServedKeys): CurrentProvider {
    const publicKeys = { keys: published.map(publicPart) };
    const readIssuedToken = createIssuedTokenReader(issuer, publicKeys.keys);
    const provider = createProvider({
      ...deps,
      adapter,
      signingKeys: [...published, ...remembered],
      cookieKey,
    });
    limitProtocol(provider, deps.limits);
    paceDeviceGrant(provider, deviceCodes);
    if (deps.allowPasswordGrant) registerPasswordGrant(provider, deps);
    registerTokenExchange(provider, {
      readIssuedToken,
      isLive: createIsLive({ revocations, accounts }),
      exchanged: createExchangedTokens(db, vault),
      policies: deps.exchangePolicies,
    });
    provider.use(acceptIssuedTokens({ readIssuedToken, revocations, accounts, presented }));
    publishOnly(provider, published);
    return { provider, publicKeys, answer: provider.callback() };
  }

  let madeFor = keys.current();
  let made = make(madeFor);
  return () => {
    const current = keys.current();
    if (current !== madeFor) {
      made = make(current);
      madeFor = current;
    }
    return made;
  };
}
