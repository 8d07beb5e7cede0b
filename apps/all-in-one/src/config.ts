import { AuthConfigSchema, federationVariables, policyVariables } from '@gatehouse/auth';
import { admissionVariables } from '@gatehouse/gateway';
import {
  FlagSchema,
  PortSchema,
  PostgresUrlSchema,
  ProcessConfigSchema,
  RedisUrlSchema,
  tlsVariables,
} from '@gatehouse/service-kit';
import { z } from 'zod';

/** Where the services behind the gateway listen. */
export const servicePorts = {
  AUTH_PORT: PortSchema.default(8081),
  USERS_PORT: PortSchema.default(8082),
  ITEMS_PORT: PortSchema.default(8083),
  ORDERS_PORT: PortSchema.default(8084),
};

/** The environment of `npm start`: everything has a default, and the defaults are for one developer's machine. */
export const AllInOneConfigSchema = ProcessConfigSchema.extend({
  PORT: PortSchema.default(8080),
  ...servicePorts,
  ...tlsVariables,
  /** `http://localhost:PORT`, or https with a certificate, unless a proxy stands in front. */
  ISSUER: ProcessConfigSchema.shape.ISSUER.optional(),
  LOG_LEVEL: ProcessConfigSchema.shape.LOG_LEVEL.unwrap().default('warn'),
  DATA_DIR: z.string().default('.data'),
  /** A PostgreSQL server instead of the embedded one; each service has a schema in it. */
  DATABASE_URL: PostgresUrlSchema.optional(),
  /** A Redis server instead of the in-memory denylist. */
  REDIS_URL: RedisUrlSchema.optional(),
  DEMO: FlagSchema.default(true),
  ALLOW_PASSWORD_GRANT: FlagSchema.default(true),
  /** Made at the first start, and kept in the data directory, unless given. */
  ENCRYPTION_KEY: AuthConfigSchema.shape.ENCRYPTION_KEY.optional(),
  /** Made at each start unless given: all who use them run in this process. */
  ORDERS_CLIENT_SECRET: AuthConfigSchema.shape.ORDERS_CLIENT_SECRET.optional(),
  USERS_CLIENT_SECRET: AuthConfigSchema.shape.USERS_CLIENT_SECRET.optional(),
  ...federationVariables,
  ...policyVariables,
  ...admissionVariables,
});
export type AllInOneConfig = z.output<typeof AllInOneConfigSchema>;

type ServicePort = keyof typeof servicePorts;
type Dashed<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${First}-${Dashed<Rest>}`
  : Name;
export type ServiceName =
  | 'gateway'
  | Lowercase<ServicePort extends `${infer Name}_PORT` ? Dashed<Name> : never>;

/** The variables of every port that a system may listen on. */
export const portVariables = [
  'PORT',
  ...(Object.keys(servicePorts) as ServicePort[]),
  'HTTP_REDIRECT_PORT',
  'METRICS_PORT',
] as const;
