import type { Service } from '@gatehouse/service-kit';
import { createAccountsClient } from './accounts-client.ts';
import { type UsersConfig, UsersConfigSchema } from './config.ts';
import { seed } from './demo.ts';
import { adminRoutes } from './routes/admin.ts';
import { meRoutes } from './routes/me.ts';
import { createProfileStore } from './store.ts';

export const users: Service<UsersConfig> = {
  name: 'users',
  description: 'Profiles of the accounts, and their administration',
  audience: 'urn:gatehouse:users',
  config: UsersConfigSchema,
  migrations: new URL('../migrations', import.meta.url),
  seed,
  routes: ({ db, config }) => {
    const profiles = createProfileStore(db);
    const accounts = createAccountsClient(config);
    return [...meRoutes(profiles, accounts), ...adminRoutes(profiles, accounts)];
  },
};
