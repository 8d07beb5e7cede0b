import { type Service, ServiceConfigSchema } from '@gatehouse/service-kit';
import { seed } from './demo.ts';
import { itemRoutes } from './routes/items.ts';
import { createItemStore } from './store.ts';

export const items: Service = {
  name: 'items',
  description: 'The catalogue: items and their owners',
  audience: 'urn:gatehouse:items',
  config: ServiceConfigSchema,
  migrations: new URL('../migrations', import.meta.url),
  seed,
  routes: ({ db }) => itemRoutes(createItemStore(db)),
};
