import { ClientConfigSchema, UrlSchema } from '@gatehouse/service-kit';
import { z } from 'zod';

/** The environment of orders: besides what every client reads, where items are. */
export const OrdersConfigSchema = ClientConfigSchema.extend({
  ITEMS_URL: UrlSchema,
  CLIENT_ID: z.string().default('orders-service'),
});
export type OrdersConfig = z.output<typeof OrdersConfigSchema>;
