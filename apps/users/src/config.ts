import { ClientConfigSchema, UrlSchema } from '@gatehouse/service-kit';
import { z } from 'zod';

/** The environment of users: besides what every client reads, where accounts are. */
export const UsersConfigSchema = ClientConfigSchema.extend({
  ACCOUNTS_URL: UrlSchema,
  CLIENT_ID: z.string().default('users-service'),
});
export type UsersConfig = z.output<typeof UsersConfigSchema>;
