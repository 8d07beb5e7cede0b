import {
  FlagSchema,
  PostgresUrlSchema,
  ProcessConfigSchema,
  RedisUrlSchema,
  refineForProduction,
  refuseInProduction,
} from '@gatehouse/service-kit';
import { z } from 'zod';
import { secretsIn } from './clients/clients.ts';
import { ClientsSchema } from './clients/configured-clients.ts';
import { federationVariables } from './federation/federation-settings.ts';

const isKey = (text: string) => /^[\w-]{43}$/.test(text) && Buffer.from(text, 'base64url').length === 32;

/** What a deployment may choose; npm start takes these variables too. */
export const policyVariables = {
  /** How old the newest signing key gets, and for how long a new one is known before it signs. */
  KEY_ROTATION_DAYS: z.coerce.number().positive().default(90),
  KEY_PUBLISH_SECONDS: z.coerce.number().positive().default(90),
  /** For how long a used refresh token may be repeated; with 0 it is single-use to the letter. */
  REFRESH_GRACE_SECONDS: z.coerce.number().min(0).max(60).default(10),
  /** Whether anybody may make an account; where nothing is said, in the demo alone. */
  REGISTRATION: FlagSchema.optional(),
  /** How long the audit log is kept; the database lets nobody delete what is younger than 30 days. */
  AUDIT_RETENTION_DAYS: z.coerce.number().int().min(30).max(36_500).default(365),
  /** The clients of this deployment, beside those that every one has. */
  CLIENTS: ClientsSchema.default([]),
};

const ClientSecretSchema = z
  .string()
  .refine(
    (setting) => secretsIn(setting).every(({ length }) => length >= 16),
    'must have at least 16 characters',
  );

/** What the authorization server reads from its environment; no secret has a default. */
export const AuthConfigSchema = ProcessConfigSchema.omit({ EXPLAIN: true }).extend({
  DATABASE_URL: PostgresUrlSchema.optional(),
  REDIS_URL: RedisUrlSchema.optional(),
  ENCRYPTION_KEY: z.string().refine(isKey, 'must be 32 random bytes in base64url'),
  ORDERS_CLIENT_SECRET: ClientSecretSchema,
  USERS_CLIENT_SECRET: ClientSecretSchema,
  DEMO: FlagSchema.default(false),
  ALLOW_PASSWORD_GRANT: FlagSchema.default(false),
  ...policyVariables,
  ...federationVariables,
});
export type AuthConfig = z.output<typeof AuthConfigSchema>;

// As those in infra/secrets/demo are named, where everybody can read them; the key is text too, in base64url.
const isDemoSecret = (value: unknown) =>
  secretsIn(String(value)).some(
    (secret) =>
      secret.startsWith('demo-') || Buffer.from(secret, 'base64url').includes('-demo-key-not-a-secret!'),
  );
const isPublic = 'is the public one of the demo';
const secretNames = Object.keys(AuthConfigSchema.shape).filter(
  (name) => name === 'ENCRYPTION_KEY' || name.endsWith('_CLIENT_SECRET'),
);

/** The environment of a process of its own, which in production must have secrets of its own. */
export const AuthProcessConfigSchema = refuseInProduction(
  secretNames.reduce(
    (schema, name) => refuseInProduction(schema, name, isPublic, isDemoSecret),
    refineForProduction(AuthConfigSchema.required({ DATABASE_URL: true, REDIS_URL: true })),
  ),
  'KEY_PUBLISH_SECONDS',
  'must be at least 70',
  // Services fetch the key set once a minute, give or take a tenth.
  (seconds) => Number(seconds) < 70,
);
