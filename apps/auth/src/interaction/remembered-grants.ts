import { errors, type Grant, type KoaContextWithOIDC } from 'oidc-provider';
import { accountPages } from '../clients/clients.ts';
import { openidScopes } from '../protocol/scopes.ts';
import { orUnavailable } from '../protocol/unavailable.ts';
import type { Revocations } from '../revocation/revocation.ts';
import type { ConsentStore } from './consents.ts';

type OidcContext = KoaContextWithOIDC['oidc'];

/** What accounts have allowed clients, as grants of oidc-provider. */
export interface RememberedGrants {
  /**
   * The `loadExistingGrant` of oidc-provider: what this session has given the client and, of what the request asks
   * beyond that, whatever the account has allowed the client before. What is missing then is asked.
   */
  load(ctx: KoaContextWithOIDC): Promise<Grant | undefined>;
  /**
   * Stores what the account allows now, and remembers it.
   * @throws SessionNotFound when the grant has ended meanwhile
   */
  allow(grant: Grant, scopes: readonly string[]): Promise<string>;
  /** The scopes that the account has allowed the client before. */
  find(accountId: string, clientId: string): Promise<string[]>;
}

/** Grants that are stored once there is an answer, and consent that is kept beside them. */
export function createRememberedGrants({
  consents,
  revocations,
}: {
  consents: ConsentStore;
  revocations: Pick<Revocations, 'isRevoked'>;
}): RememberedGrants {
  async function find(accountId: string, clientId: string, options?: { isSettled: boolean }) {
    if (clientId === accountPages) return ['openid'];
    const found = await orUnavailable(() => consents.find(accountId, clientId, options));
    const { openidScopes, apiScopes } = found ?? {};
    return [...(openidScopes ?? []), ...(apiScopes ?? [])];
  }

  /** Whether the grant is stored: one that has ended stays so, since its tokens are refused by its id. */
  async function save(grant: Grant): Promise<boolean> {
    const gid = await grant.save();
    const isEnded = await orUnavailable(() => revocations.isRevoked({ jti: '', gid, sub: '', iat: 0 }));
    if (isEnded) await grant.destroy();
    return !isEnded;
  }

  return {
    find,

    async load({ oidc }) {
      const { account, client, session } = oidc;
      if (!account || !client || !session) throw new errors.SessionNotFound('nobody is signed in');
      const { accountId } = account;
      const { clientId } = client;
      const { Grant } = oidc.provider;

      const grantId = oidc.result?.consent?.grantId ?? session.grantIdFor(clientId);
      const found = grantId === undefined ? undefined : await Grant.find(grantId);
      if (found && missingOf(found, oidc).length === 0) return found;

      const grant = found ?? new Grant({ accountId, clientId });
      const added = addTo(grant, oidc, await find(accountId, clientId));
      // Asking alone leaves nothing behind: until there is an answer, the grant is not stored.
      if (added.length === 0 || missingOf(grant, oidc).length > 0 || isAskedAnyway(oidc)) return grant;
      if (!(await save(grant))) return undefined;
      // Who withdraws consent forgets it first and ends the grants then, and could have missed a new one.
      const kept = await find(accountId, clientId, { isSettled: true });
      if (added.every((scope) => kept.includes(scope))) return grant;
      if (!found) await grant.destroy();
      return undefined;
    },

    async allow(grant, scopes) {
      if (!(await save(grant))) throw new errors.SessionNotFound('the grant has ended');
      const { accountId = '', clientId = '' } = grant;
      const isOpenid = (name: string) => openidScopes.includes(name);
      await orUnavailable(() =>
        consents.remember(accountId, clientId, {
          openidScopes: scopes.filter(isOpenid),
          apiScopes: scopes.filter((name) => !isOpenid(name)),
        }),
      );
      return grant.jti;
    },
  };
}

/** What the request asks for, by the resource that it is asked of; undefined is the account itself. */
function askedOf(oidc: OidcContext): [resource: string | undefined, scopes: string[]][] {
  const ofResources = Object.entries(oidc.resourceServers ?? {}).map(
    ([resource, { scopes }]): [string, string[]] => [
      resource,
      [...oidc.requestParamScopes].filter((name) => scopes.has(name)),
    ],
  );
  return [[undefined, [...oidc.requestParamOIDCScopes]], ...ofResources];
}

function missingOf(grant: Grant, oidc: OidcContext): string[] {
  return askedOf(oidc).flatMap(([resource, scopes]) => {
    const granted =
      resource === undefined ? grant.getOIDCScopeEncountered() : grant.getResourceScopeEncountered(resource);
    const names = granted.split(' ');
    return scopes.filter((name) => !names.includes(name));
  });
}

function addTo(grant: Grant, oidc: OidcContext, remembered: readonly string[]): string[] {
  const added = missingOf(grant, oidc).filter((name) => remembered.includes(name));
  for (const [resource, scopes] of askedOf(oidc)) {
    const names = scopes.filter((name) => added.includes(name));
    if (names.length === 0) continue;
    if (resource === undefined) grant.addOIDCScope(names);
    else grant.addResourceScope(resource, names);
  }
  return added;
}

// Native clients (RFC 8252, 8.6), devices, and whoever says prompt=consent.
function isAskedAnyway(oidc: OidcContext): boolean {
  const isAsking =
    oidc.client?.applicationType === 'native' || oidc.deviceCode || oidc.promptPending('consent');
  return Boolean(isAsking && !oidc.result?.consent);
}
