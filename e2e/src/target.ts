/** The public origin of the system under test, which is also its issuer. */
export const gateway = required('BASE_URL');

const { USERS_URL: users, ITEMS_URL: items, ORDERS_URL: orders } = process.env;

/** The services' own addresses, for what must hold without the gateway; absent when the run was not given them. */
export const services = users && items && orders ? { users, items, orders } : undefined;

/** The reason to leave out a check that talks to a service directly. */
export const withoutServices = services ? false : 'needs USERS_URL, ITEMS_URL and ORDERS_URL';

/** A route of each process that checks tokens, the gateway first. */
export const guardedRoutes: Record<string, string> = {
  gateway: `${gateway}/users/me`,
  ...(services && {
    users: `${services.users}/users/me`,
    items: `${services.items}/items`,
    orders: `${services.orders}/orders`,
  }),
};

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: start this by npm run e2e`);
  return value.replace(/\/$/, '');
}
