import { readFileSync } from 'node:fs';
import {
  allowInsecureRequests,
  ClientSecretBasic,
  type Configuration,
  type CustomFetch,
  customFetch,
  discovery,
  enableNonRepudiationChecks,
  None,
  PrivateKeyJwt,
} from 'openid-client';
import { rememberFields } from './secrets.ts';
import { gateway } from './target.ts';

const { ORDERS_CLIENT_SECRET } = process.env;

const secrets = {
  'demo-web': 'demo-web-secret',
  'demo-reporting': 'demo-reporting-secret',
  'demo-cli': undefined,
  'demo-first-party': undefined,
  'demo-secure': undefined,
  explorer: undefined,
  'orders-service': ORDERS_CLIENT_SECRET,
};

export type ClientId = keyof typeof secrets;

/** The reason to leave out a check that acts as the orders service. */
export const withoutOrdersClient = ORDERS_CLIENT_SECRET ? false : 'needs ORDERS_CLIENT_SECRET';

/** A client of the demo, as the certified library sees it: it verifies every ID token, also those it got directly. */
export async function client(id: ClientId, secret = secrets[id]): Promise<Configuration> {
  const withoutSecret = id === 'demo-secure' ? PrivateKeyJwt(await secureKey()) : None();
  const authentication = secret === undefined ? withoutSecret : ClientSecretBasic(secret);
  return discovery(new URL(gateway), id, undefined, authentication, {
    execute: isLoopback ? [allowInsecureRequests, enableNonRepudiationChecks] : [enableNonRepudiationChecks],
    timeout: 10,
    [customFetch]: rememberingFetch,
  });
}

const isLoopback = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(gateway);

/** Of `demo-secure`, which has no secret but a key. */
function secureKey() {
  const file = new URL('../../infra/secrets/demo/demo-secure-key.json', import.meta.url);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  return crypto.subtle.importKey('jwk', JSON.parse(readFileSync(file, 'utf8')), algorithm, false, ['sign']);
}

const rememberingFetch: CustomFetch = async (url, options) => {
  if (options.body instanceof URLSearchParams) rememberFields(options.body);
  const response = await fetch(url, options as RequestInit);
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => ({}));
  rememberFields(Object.entries(body ?? {}));
  return response;
};
