import { ServiceConfigSchema, UrlSchema } from '@gatehouse/service-kit';
import { z } from 'zod';

/** The environment of orders: besides the usual, where items and tokens for items come from. */
export const OrdersConfigSchema = ServiceConfigSchema.extend({
  ITEMS_URL: UrlSchema,
  TOKEN_URL: UrlSchema,
  CLIENT_ID: z.string().default('orders-service'),
  CLIENT_SECRET: z.string(),
});
export type OrdersConfig = z.output<typeof OrdersConfigSchema>;
