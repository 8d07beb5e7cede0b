import { setTimeout as delay } from 'node:timers/promises';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { items } from '@gatehouse/items';
import { loadConfig, route, type Service, startService } from '@gatehouse/service-kit';
import { z } from 'zod';
import { runTarget } from '../target.ts';

const QuoteSchema = z.object({
  id: z.uuid(),
  priceCents: z.int(),
  currency: z.string(),
  quotedTo: z.string(),
});

const quote = route('get', '/quotes/{id}', {
  scope: 'items:read',
  summary: 'Quotes a price, with no store behind it',
  responses: { 200: QuoteSchema },
  handler: async ({ params, caller }) => ({
    status: 200,
    body: { id: params.id, priceCents: 1290, currency: 'EUR', quotedTo: caller.subject },
  }),
});

const itemsAndQuote: Service = { ...items, routes: (deps) => [...items.routes(deps), quote] };

// The items service with a route more, everything on: guard, denylist in Redis, metrics, the access log to /dev/null.
await runTarget(async (env: Record<string, string>) => {
  const shared = env.DATABASE_URL === undefined ? { embedded: await openEmbeddedPostgres(undefined) } : {};
  const { listener } = await startService(itemsAndQuote, loadConfig(items.config, env), shared);
  while (!(await fetch(`${listener.url}/health/ready`)).ok) await delay(50);
  return listener.port;
});
