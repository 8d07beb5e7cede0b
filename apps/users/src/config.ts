import { ServiceConfigSchema, UrlSchema } from '@gatehouse/service-kit';
import { z } from 'zod';

/** The environment of users: besides the usual, where accounts and tokens for them come from. */
export const UsersConfigSchema = ServiceConfigSchema.extend({
  ACCOUNTS_URL: UrlSchema,
  TOKEN_URL: UrlSchema,
  CLIENT_ID: z.string().default('users-service'),
  CLIENT_SECRET: z.string(),
});
export type UsersConfig = z.output<typeof UsersConfigSchema>;
