import type { Client } from 'oidc-provider';
import { allowedScopes } from '../protocol/requested-scopes.ts';
import { apiAudience } from '../protocol/scopes.ts';
import type { ExchangePolicy } from './token-exchange.ts';

/** What services do at each other in their own name, when nobody is there to act for: nothing that is not written here. */
const ownNamePolicies: readonly Omit<ExchangePolicy, 'needs'>[] = [
  { client: 'orders-service', audience: 'urn:gatehouse:items', allows: ['items:reserve'] },
];

/** The scopes that a client may have in its own name (RFC 6749, 4.4); undefined where it gets no token for the audience. */
export function scopesInOwnName(client: Client, audience: unknown): readonly string[] | undefined {
  if (audience === apiAudience) return allowedScopes(client);
  return ownNamePolicies.find((p) => p.client === client.clientId && p.audience === audience)?.allows;
}
