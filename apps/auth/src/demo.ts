import { demoAccounts } from '@gatehouse/demo-data';
import type { NewAccount } from './accounts/accounts.ts';
import {
  clientWithKey,
  confidentialClient,
  deviceGrant,
  publicClient,
  type RegisteredClient,
  tokenExchange,
} from './clients/clients.ts';
import type { ExchangePolicy } from './grants/token-exchange.ts';
import { apiScopes } from './protocol/scopes.ts';

const passwords: Record<keyof typeof demoAccounts, string> = {
  alice: 'alice-demo-pass',
  bob: 'bob-demo-pass',
  admin: 'admin-demo-pass',
  carol: 'carol-demo-pass',
  johndoe: 'secret',
};

/** The accounts of the demo with their well-known passwords. */
export const demoLogins: NewAccount[] = Object.entries(passwords).map(([name, password]) => ({
  ...demoAccounts[name as keyof typeof demoAccounts],
  password,
}));

const allScopes = apiScopes.join(' ');
const customerScopes = apiScopes.filter((scope) => scope !== 'users:admin').join(' ');
const withSignIn = {
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code' as const],
};
// Its private part is infra/secrets/demo/demo-secure-key.json, where everybody can read it.
const demoSecureKey = {
  kty: 'EC',
  crv: 'P-256',
  kid: 'iZ10oVEJnPAU5RsY4gsrhFaS9E3yMG0VIDp5-W5DLS8',
  alg: 'ES256',
  use: 'sig',
  x: 'MxFdKpCfGrmMwuV4uoUPVF9zj-zMvVURXqYl8MF9p6I',
  y: '1tHuB5laYPFfvKJckzRlt_qWIaggBdnjDYlAVDy-8ew',
} as const;
const withoutSignIn = { response_types: [], redirect_uris: [] };

/**
 * The clients of the demo.
 * @param allowPasswordGrant without it `demo-first-party` exists, and may do nothing
 */
export function demoClients({ issuer, allowPasswordGrant }: { issuer: string; allowPasswordGrant: boolean }) {
  return [
    publicClient({
      ...withSignIn,
      client_id: 'explorer',
      client_name: 'Gatehouse explorer',
      redirect_uris: [`${issuer}/explorer/callback`],
      post_logout_redirect_uris: [`${issuer}/explorer/`],
      allowed_scopes: allScopes,
    }),
    publicClient({
      client_id: 'docs',
      client_name: 'Gatehouse API documentation',
      grant_types: ['authorization_code'],
      response_types: ['code'],
      redirect_uris: [`${issuer}/docs/oauth2-redirect.html`],
      allowed_scopes: allScopes,
    }),
    confidentialClient('demo-web-secret', {
      ...withSignIn,
      client_id: 'demo-web',
      client_name: 'Demo web shop',
      redirect_uris: ['http://localhost:9999/callback', 'http://127.0.0.1:9999/callback'],
      post_logout_redirect_uris: ['http://localhost:9999/', 'http://127.0.0.1:9999/'],
      allowed_scopes: customerScopes,
    }),
    clientWithKey(demoSecureKey, {
      ...withSignIn,
      client_id: 'demo-secure',
      client_name: 'Demo secure web shop',
      redirect_uris: ['http://localhost:9999/callback', 'http://127.0.0.1:9999/callback'],
      require_pushed_authorization_requests: true,
      dpop_bound_access_tokens: true,
      allowed_scopes: customerScopes,
    }),
    publicClient({
      ...withSignIn,
      grant_types: [...withSignIn.grant_types, deviceGrant],
      client_id: 'demo-cli',
      client_name: 'Demo command line',
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]/callback'],
      allowed_scopes: customerScopes,
    }),
    publicClient({
      ...withoutSignIn,
      client_id: 'demo-first-party',
      client_name: 'Demo first-party application',
      grant_types: allowPasswordGrant ? ['password', 'refresh_token'] : [],
      allowed_scopes: allScopes,
    }),
    confidentialClient('demo-reporting-secret', {
      ...withoutSignIn,
      client_id: 'demo-reporting',
      client_name: 'Demo reporting',
      grant_types: ['client_credentials'],
      allowed_scopes: 'items:read',
    }),
    confidentialClient('demo-partner-secret', {
      ...withoutSignIn,
      client_id: 'demo-partner',
      client_name: 'Demo partner',
      grant_types: ['client_credentials', tokenExchange],
      allowed_scopes: 'items:read',
      access_token_seconds: 2,
    }),
  ] satisfies RegisteredClient[];
}

/** What the clients of the demo may exchange. */
export const demoExchangePolicies: readonly ExchangePolicy[] = [
  {
    client: 'demo-partner',
    audience: 'urn:gatehouse:items',
    needs: ['items:read'],
    allows: ['items:read'],
  },
];
