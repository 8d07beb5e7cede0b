import { createHash, timingSafeEqual } from 'node:crypto';
import type { ClientMetadata, JWK } from 'oidc-provider';
import { apiAudience } from '../protocol/scopes.ts';

/** A client as oidc-provider knows it, with what Gatehouse adds. */
export interface RegisteredClient extends ClientMetadata {
  /** The API scopes that it may ask for, separated by spaces. */
  allowed_scopes: string;
  /** The audience whose tokens it may introspect as the resource server they are meant for. */
  resource_audience?: string;
  /** How long its access tokens live, where that is shorter than for others. */
  access_token_seconds?: number;
}

/** The metadata that oidc-provider does not know by itself. */
export const ownClientMetadata = ['allowed_scopes', 'resource_audience', 'access_token_seconds'] as const;

export const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
export const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** The client that the account pages are to the protocol: it gets no token, and needs no consent. */
export const accountPages = 'account-pages';

/** A client that cannot keep a secret. */
export function publicClient(metadata: RegisteredClient): RegisteredClient {
  return { ...metadata, token_endpoint_auth_method: 'none' };
}

/** The secrets in a setting: one, or a line for each while one takes the place of another. */
export const secretsIn = (setting: string): string[] => setting.split(/\r?\n/);

/** A client with the secrets of this setting, of which only hashes are kept. */
export function confidentialClient(setting: string, metadata: RegisteredClient): RegisteredClient {
  const hashes = secretsIn(setting).map((secret) => digest(secret).toString('hex'));
  const client_secret = hashes.join(' ');
  return { ...metadata, client_secret, token_endpoint_auth_method: 'client_secret_basic' };
}

/** A client that signs assertions with a key of its own, of which the public part is known here (RFC 7523). */
export function clientWithKey(publicKey: JWK, metadata: RegisteredClient): RegisteredClient {
  return { ...metadata, jwks: { keys: [publicKey] }, token_endpoint_auth_method: 'private_key_jwt' };
}

/** Whether `secret` is one that `confidentialClient` was given, compared in constant time. */
export function isClientSecret(hashes: string | undefined, secret: string): boolean {
  const given = digest(secret);
  const isGiven = (hash: string) => {
    const expected = Buffer.from(hash, 'hex');
    return expected.length === given.length && timingSafeEqual(expected, given);
  };
  return (hashes ?? '').split(' ').some(isGiven);
}

/** The clients that every deployment has. */
export function systemClients(secrets: {
  issuer: string;
  ordersClientSecret: string;
  usersClientSecret: string;
}): RegisteredClient[] {
  const exchangesTokens = {
    grant_types: [tokenExchange],
    response_types: [],
    redirect_uris: [],
    allowed_scopes: '',
    resource_audience: apiAudience,
  };
  return [
    publicClient({
      client_id: accountPages,
      client_name: 'your account',
      grant_types: ['authorization_code'],
      redirect_uris: [`${secrets.issuer}/account/signed-in`],
      allowed_scopes: '',
    }),
    confidentialClient(secrets.ordersClientSecret, {
      ...exchangesTokens,
      grant_types: [tokenExchange, 'client_credentials'],
      client_id: 'orders-service',
      client_name: 'Orders service',
    }),
    confidentialClient(secrets.usersClientSecret, {
      ...exchangesTokens,
      client_id: 'users-service',
      client_name: 'Users service',
    }),
  ];
}

// A client's secret is random and long, so a fast hash is enough.
function digest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
