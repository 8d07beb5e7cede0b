import { createMemoryDenylist } from '@gatehouse/denylist';
import { items } from '@gatehouse/items';
import { loadConfig, runProcess, startService } from '@gatehouse/service-kit';
import { orders } from '../src/app.ts';

// A service as a process of its own that needs no Redis, because nobody is signed out.
const [, , name] = process.argv;
const denylist = createMemoryDenylist();
await denylist.markComplete();
runProcess(String(name), (env) =>
  name === 'orders'
    ? startService(orders, loadConfig(orders.config, env) as never, { denylist })
    : startService(items, loadConfig(items.config, env) as never, { denylist }),
);
