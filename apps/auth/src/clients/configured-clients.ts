import { ConfigError } from '@gatehouse/service-kit';
import { z } from 'zod';
import type { AuthConfig } from '../config.ts';
import { demoClients } from '../demo.ts';
import { ConfiguredClientSchema, isPlainHttp } from './client-metadata.ts';
import { type RegisteredClient, systemClients } from './clients.ts';

/** The clients of a deployment: JSON, a list of client metadata. */
export const ClientsSchema = z
  .string()
  .transform((text, ctx) => {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      // What the parser says quotes the text, which has secrets in it.
      ctx.addIssue({ code: 'custom', message: 'must be JSON' });
      return z.NEVER;
    }
  })
  .pipe(z.array(ConfiguredClientSchema, 'must be a list of clients'));

type ClientVariables = Pick<
  AuthConfig,
  | 'NODE_ENV'
  | 'ISSUER'
  | 'ORDERS_CLIENT_SECRET'
  | 'USERS_CLIENT_SECRET'
  | 'DEMO'
  | 'ALLOW_PASSWORD_GRANT'
  | 'CLIENTS'
>;

/**
 * All clients that there are: those of every deployment, those of the demo, and those of this deployment.
 * @throws ConfigError with a line for each client whose name is taken, and in production for each address without TLS
 */
export function clientsOf(config: ClientVariables): RegisteredClient[] {
  const { ISSUER: issuer, ALLOW_PASSWORD_GRANT: allowPasswordGrant } = config;
  const own = systemClients({
    issuer,
    ordersClientSecret: config.ORDERS_CLIENT_SECRET,
    usersClientSecret: config.USERS_CLIENT_SECRET,
  });
  if (config.DEMO) own.push(...demoClients({ issuer, allowPasswordGrant }));
  const faults: string[] = [];
  const taken = new Set(own.map(({ client_id }) => client_id));
  for (const [index, client] of config.CLIENTS.entries()) {
    const at = `CLIENTS.${index}`;
    if (taken.has(client.client_id)) faults.push(`${at}.client_id: is the name of another client`);
    taken.add(client.client_id);
    if (config.NODE_ENV !== 'production') continue;
    for (const name of addressesNeedingTls(client)) faults.push(`${at}.${name}: must be https in production`);
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return [...own, ...config.CLIENTS];
}

// An application on a person's own machine has no certificate, and needs none (RFC 8252, 7.3).
function addressesNeedingTls(client: RegisteredClient): string[] {
  const {
    application_type,
    redirect_uris = [],
    post_logout_redirect_uris = [],
    backchannel_logout_uri,
  } = client;
  const ofBrowsers = application_type === 'web' ? { redirect_uris, post_logout_redirect_uris } : {};
  const addresses = { ...ofBrowsers, backchannel_logout_uri: [backchannel_logout_uri ?? ''] };
  return Object.entries(addresses)
    .filter(([, uris]) => uris.some(isPlainHttp))
    .map(([name]) => name);
}
