import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { listenApp } from '@gatehouse/test-kit';
import { startTestGateway, until } from './start-gateway.ts';

test('the log line of a request tells who called, from where, and how long the upstream took, and no token', async (t) => {
  const gateway = await startTestGateway(t);
  const authorization = await gateway.bearer({ sub: 'alice', client_id: 'shop' });
  const headers = { authorization, 'x-request-id': 'request-of-alice' };
  assert.equal((await gateway.send('/orders/17?secret=1', { headers })).status, 200);
  assert.equal((await gateway.send('/orders')).status, 401);
  const lines = () => gateway.log.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'request');
  await until(() => lines().length === 2, 2_000);
  const [line, refused] = lines();
  const { requestId, address, caller, client, method, path, route, status } = line;
  assert.deepEqual(
    { requestId, address, caller, client, method, path, route, status },
    {
      requestId: 'request-of-alice',
      address: '127.0.0.1',
      caller: 'alice',
      client: 'shop',
      method: 'GET',
      path: '/orders/17',
      route: '/orders',
      status: 200,
    },
  );
  assert.ok(line.upstreamMs > 0 && line.upstreamMs <= line.durationMs);
  assert.deepEqual([refused.caller, refused.client, refused.upstreamMs], [undefined, undefined, undefined]);
  assert.doesNotMatch(gateway.log.join(), /secret|eyJ/);
});

test('metrics tell verdicts, what was remembered, the denylist, and how long each upstream took', async (t) => {
  const gateway = await startTestGateway(t);
  const authorization = await gateway.bearer();
  const shown = async () => (await gateway.metrics.registry.metrics()).split('\n');
  for (const path of ['/orders', '/orders', '/items']) {
    assert.equal((await gateway.send(path, { headers: { authorization } })).status, 200);
  }
  await gateway.send('/orders');
  await gateway.denylist.append([{ jti: 'another', exp: Date.now() / 1_000 + 60 }]);
  const expected = [
    'auth_verdicts_total{service="gateway",verdict="verified"} 1',
    'auth_verdicts_total{service="gateway",verdict="remembered"} 2',
    'auth_verdicts_total{service="gateway",verdict="no_credentials"} 1',
    'token_cache_lookups_total{service="gateway",result="hit"} 2',
    'token_cache_lookups_total{service="gateway",result="miss"} 1',
    'denylist_age_seconds{service="gateway"} 0',
    'denylist_entries{service="gateway"} 1',
    'upstream_duration_seconds_count{upstream="orders"} 2',
    'upstream_duration_seconds_count{upstream="items"} 1',
    'breaker_state{upstream="orders"} 0',
  ];
  const lines = await shown();
  for (const line of expected) assert.ok(lines.includes(line), line);
  assert.deepEqual(
    (await shown()).filter((line) => line.startsWith('auth_verdicts_total')),
    lines.filter((line) => line.startsWith('auth_verdicts_total')),
    'reading counts nothing',
  );
  await gateway.denylist.close();
  assert.ok((await shown()).includes('denylist_age_seconds{service="gateway"} +Inf'));
});
