import { items } from '@gatehouse/items';
import { orders } from '@gatehouse/orders';
import { users } from '@gatehouse/users';

/** The resource servers, in the order in which people read of them. */
export const services = [users, items, orders] as const;
