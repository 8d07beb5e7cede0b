import { type Service, ServiceConfigSchema } from '@gatehouse/service-kit';
import { seed } from './demo.ts';
import { meRoutes } from './routes/me.ts';
import { createProfileStore } from './store.ts';

export const users: Service = {
  name: 'users',
  description: 'Profiles of the accounts',
  audience: 'urn:gatehouse:users',
  config: ServiceConfigSchema,
  migrations: new URL('../migrations', import.meta.url),
  seed,
  routes: ({ db }) => meRoutes(createProfileStore(db)),
};
