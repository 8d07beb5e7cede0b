import assert from 'node:assert/strict';
import { testInvalidTokens } from '@gatehouse/auth-middleware/testing';
import { createMemoryDenylist } from '@gatehouse/denylist';
import { createTestIssuer, listenApp } from '@gatehouse/test-kit';
import { z } from 'zod';
import {
  createHealth,
  createLogger,
  createMetrics,
  createServiceApp,
  openGuard,
  route,
} from '../src/index.ts';

const logger = createLogger({ level: 'silent' });
const metrics = createMetrics('test');

// A service as startService() puts it together, but for the database. What is refused, no handler hears of.
testInvalidTokens(async (t, given) => {
  const issuer = given ?? (await createTestIssuer());
  const denylist = createMemoryDenylist();
  await denylist.markComplete();
  const opened = new AsyncDisposableStack();
  opened.defer(issuer.close);
  const config = { ISSUER: issuer.issuer, JWKS_URI: issuer.jwksUri };
  const audiences = [issuer.audience, 'urn:gatehouse:test'];
  const guard = openGuard({ name: 'test', config, audiences, denylist, logger, metrics }, opened);
  let calls = 0;
  const routes = [
    route('get', '/notes', {
      scope: 'items:read',
      summary: 'Reads notes',
      responses: { 200: z.array(z.string()) },
      handler: async () => {
        calls += 1;
        return { status: 200, body: [] };
      },
    }),
  ];
  const app = createServiceApp({
    name: 'test',
    description: 'A service of this test',
    audience: 'urn:gatehouse:test',
    issuer: issuer.issuer,
    explained: false,
    routes,
    authenticate: guard.authenticate,
    health: createHealth({}, logger),
    logger,
    metrics,
  });
  const server = await listenApp(app);
  opened.defer(server.close);
  t.after(() => opened.disposeAsync());
  return {
    issuer,
    denylist,
    async get(token) {
      const before = calls;
      const response = await fetch(`${server.url}/notes`, { headers: { authorization: `Bearer ${token}` } });
      assert.equal(calls - before, response.status === 200 ? 1 : 0);
      return response;
    },
  };
});
