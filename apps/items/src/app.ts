import { type Service, ServiceConfigSchema } from '@gatehouse/service-kit';
import { seed } from './demo.ts';
import { itemRoutes } from './routes/items.ts';
import { reservationRoutes } from './routes/reservations.ts';
import { createItemStore, createReservationStore } from './store.ts';

export const items: Service = {
  name: 'items',
  description: 'The catalogue: items and their owners',
  audience: 'urn:gatehouse:items',
  config: ServiceConfigSchema,
  migrations: new URL('../migrations', import.meta.url),
  seed,
  routes: ({ db }) => {
    const store = createItemStore(db);
    return [...itemRoutes(store), ...reservationRoutes(store, createReservationStore(db))];
  },
  tasks: ({ db }) => ({ 'lapsing reservations': createReservationStore(db).lapse }),
};
