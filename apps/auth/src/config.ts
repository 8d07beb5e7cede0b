import {
  FlagSchema,
  PostgresUrlSchema,
  ProcessConfigSchema,
  RedisUrlSchema,
  refineForProduction,
  refuseInProduction,
} from '@gatehouse/service-kit';
import { z } from 'zod';

const isKey = (text: string) => /^[\w-]{43}$/.test(text) && Buffer.from(text, 'base64url').length === 32;

/** What the authorization server reads from its environment; no secret has a default. */
export const AuthConfigSchema = ProcessConfigSchema.extend({
  // The protocol's paths stand at the root, so the issuer is an origin.
  ISSUER: ProcessConfigSchema.shape.ISSUER.refine(
    (url) => new URL(url).pathname === '/',
    'must have no path',
  ),
  DATABASE_URL: PostgresUrlSchema.optional(),
  REDIS_URL: RedisUrlSchema.optional(),
  ENCRYPTION_KEY: z.string().refine(isKey, 'must be 32 random bytes in base64url'),
  ORDERS_CLIENT_SECRET: z.string().min(16, 'must have at least 16 characters'),
  DEMO: FlagSchema.default(false),
  ALLOW_PASSWORD_GRANT: FlagSchema.default(false),
});
export type AuthConfig = z.output<typeof AuthConfigSchema>;

// What stands in infra/secrets/demo, where everybody can read it.
const demoSecrets: readonly unknown[] = [
  Buffer.from('gatehouse-demo-key-not-a-secret!').toString('base64url'),
  'demo-orders-service-secret',
];
const isDemoSecret = (value: unknown) => demoSecrets.includes(value);
const isPublic = 'is the public one of the demo';

/** The environment of a process of its own, which in production must have secrets of its own. */
export const AuthProcessConfigSchema = ['ENCRYPTION_KEY', 'ORDERS_CLIENT_SECRET'].reduce(
  (schema, name) => refuseInProduction(schema, name, isPublic, isDemoSecret),
  refineForProduction(AuthConfigSchema.required({ DATABASE_URL: true, REDIS_URL: true })),
);
