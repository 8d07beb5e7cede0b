import type { Db, Service } from '@gatehouse/service-kit';
import { type OrdersConfig, OrdersConfigSchema } from './config.ts';
import { seed } from './demo.ts';
import { createItemsClient } from './items-client.ts';
import { createOrdering } from './ordering.ts';
import { orderRoutes } from './routes/orders.ts';
import { createOrderStore } from './store.ts';

const orderingOf = (db: Db, config: OrdersConfig) =>
  createOrdering(createOrderStore(db), createItemsClient(config));

export const orders: Service<OrdersConfig> = {
  name: 'orders',
  description: 'Orders of the caller',
  audience: 'urn:gatehouse:orders',
  config: OrdersConfigSchema,
  migrations: new URL('../migrations', import.meta.url),
  seed,
  routes: ({ db, config }) => orderRoutes(createOrderStore(db), orderingOf(db, config)),
  tasks: ({ db, config }) => ({ 'releasing reservations': orderingOf(db, config).releaseDue }),
};
