export { type DemoAccount, demoAccounts } from './accounts.ts';
export { type DemoItem, demoItems } from './items.ts';
export { type DemoOrder, demoOrders } from './orders.ts';
