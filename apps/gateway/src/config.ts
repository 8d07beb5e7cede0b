import { PortSchema, ProcessConfigSchema, UrlSchema } from '@gatehouse/service-kit';
import { z } from 'zod';
import { type UpstreamName, upstreams } from './upstreams.ts';

type UrlVariable = `${Uppercase<UpstreamName>}_URL`;

/** One address for every upstream, as the variables that give it. */
export function allUpstreamsAt<Address>(address: Address) {
  const variables = Object.keys(upstreams).map((name) => [`${name.toUpperCase()}_URL`, address]);
  return Object.fromEntries(variables) as Record<UrlVariable, Address>;
}

/** The environment of the gateway: one `<NAME>_URL` for each upstream, and no default for where anything is. */
export const GatewayConfigSchema = ProcessConfigSchema.extend({
  PORT: PortSchema.default(8080),
  JWKS_URI: UrlSchema,
  REDIS_URL: z.string().optional(),
  /** Hosts, comma separated, that clients may name besides the issuer's own. */
  ALLOWED_HOSTS: z
    .string()
    .default('')
    .transform((list) => list.split(',').filter(Boolean)),
  ...allUpstreamsAt(UrlSchema),
});
export type GatewayConfig = z.output<typeof GatewayConfigSchema>;

/** The address of each upstream. */
export function upstreamUrlsOf(config: GatewayConfig): Record<UpstreamName, string> {
  return Object.fromEntries(
    Object.keys(upstreams).map((name) => [name, config[`${name.toUpperCase()}_URL` as UrlVariable]]),
  ) as Record<UpstreamName, string>;
}
