import {
  guardVariables,
  PortSchema,
  ProcessConfigSchema,
  tlsVariables,
  UrlSchema,
} from '@gatehouse/service-kit/core';
import { z } from 'zod';
import { ProxyListSchema } from './client-address.ts';
import { rateLimitVariables } from './limits.ts';
import { type UpstreamName, upstreams } from './upstreams.ts';

type Underscored<Name extends string> = Name extends `${infer First}-${infer Rest}`
  ? `${First}_${Underscored<Rest>}`
  : Name;
type UrlVariable = `${Uppercase<Underscored<UpstreamName>>}_URL`;

/** The variable with the address of an upstream, in capitals with an underscore for each dash. */
export const urlVariableOf = (name: string) =>
  `${name.replaceAll('-', '_').toUpperCase()}_URL` as UrlVariable;

/** One address for every upstream, as the variables that give it. */
export function allUpstreamsAt<Address>(address: Address) {
  const variables = Object.keys(upstreams).map((name) => [urlVariableOf(name), address]);
  return Object.fromEntries(variables) as Record<UrlVariable, Address>;
}

const CountSchema = z.coerce.number().int().min(1);

/** A list with commas, in small letters. */
const ListSchema = z
  .string()
  .default('')
  .transform((list) =>
    list
      .toLowerCase()
      .split(',')
      .map((entry) => entry.trim())
      .filter(Boolean),
  );

/** Whose pages the gateway answers, whom it believes about addresses, and how much it takes on. */
export const admissionVariables = {
  /** Origins, comma separated, whose pages may call the APIs and read the answers. */
  ALLOWED_ORIGINS: ListSchema.refine(
    (origins) => origins.every((origin) => /^https?:/.test(origin) && URL.parse(origin)?.origin === origin),
    'must be origins with commas between them, each without a path or a slash at its end',
  ),
  /** Proxies in front, as addresses or CIDR ranges, whose X-Forwarded-For is believed. */
  TRUSTED_PROXIES: ProxyListSchema,
  ...rateLimitVariables,
  MAX_CONNECTIONS: CountSchema.default(10_000),
  MAX_BODY_BYTES: CountSchema.default(1_048_576),
  /** Requests that are let in and not yet answered. */
  MAX_IN_FLIGHT: CountSchema.default(4_000),
  /** How long one that comes when there is no room may wait for it; above that, connections.ts cuts it off before its answer. */
  MAX_WAIT_MS: CountSchema.max(5_000).default(2_000),
  /** How late the event loop may be. */
  MAX_LOOP_DELAY_MS: CountSchema.default(2_000),
};

/** The environment of the gateway: one `<NAME>_URL` for each upstream, and no default for where anything is. */
export const GatewayConfigSchema = ProcessConfigSchema.extend({
  PORT: PortSchema.default(8080),
  ...guardVariables,
  /** Hosts, comma separated, that clients may name besides the issuer's own. */
  ALLOWED_HOSTS: ListSchema,
  ...admissionVariables,
  ...tlsVariables,
  ...allUpstreamsAt(UrlSchema),
});
export type GatewayConfig = z.output<typeof GatewayConfigSchema>;

/** The address of each upstream. */
export function upstreamUrlsOf(config: GatewayConfig): Record<UpstreamName, string> {
  return Object.fromEntries(
    Object.keys(upstreams).map((name) => [name, config[urlVariableOf(name)]]),
  ) as Record<UpstreamName, string>;
}
