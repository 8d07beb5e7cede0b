import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { listenApp, rawRequest, realServer } from '@gatehouse/test-kit';
import { publicHost, startTestGateway, until } from './start-gateway.ts';

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
  assert.equal(refused.reason, 'This needs an access token in the Authorization header');
  assert.equal(line.reason, undefined);
  assert.deepEqual([refused.caller, refused.client, refused.upstreamMs], [undefined, undefined, undefined]);
  assert.doesNotMatch(gateway.log.join(), /secret|eyJ/);
});

test('a secret that somebody puts where it does not belong is not in the log', async (t) => {
  const gateway = await startTestGateway(t);
  const token = (await gateway.bearer()).slice('Bearer '.length);
  const encoded = token.replaceAll('.', '%2E');
  for (const path of [`/users/${token}`, `/users/${token}/items`, `/${encoded}`, `/${'eyJ'.repeat(5_000)}`])
    await gateway.send(path);
  const lines = () => gateway.log.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'request');
  await until(() => lines().length === 4, 2_000);
  const targets = [
    'http://user:secret@localhost:8080/token',
    '/token#access_token=secret',
    '/token%3Faccess_token=secret',
    '/token%23secret',
  ];
  for (const target of targets)
    await rawRequest(gateway.port, `GET ${target} HTTP/1.1\r\nHost: ${publicHost}\r\n\r\n`);
  await until(() => lines().length === 8, 2_000);
  assert.deepEqual(
    lines().map(({ path }) => path),
    [
      '/users/[token]',
      '/users/[token]/items',
      '/[token]',
      '/[token]',
      '[no path]',
      '/token',
      '/token',
      '/token',
    ],
  );
  assert.doesNotMatch(gateway.log.join(), /eyJ|secret/);
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

test('as many tokens are remembered as TOKEN_CACHE_SIZE says', async (t) => {
  const gateway = await startTestGateway(t, { env: { TOKEN_CACHE_SIZE: '2' } });
  const first = await gateway.bearer();
  const tokens = [first, await gateway.bearer(), await gateway.bearer(), first];
  for (const authorization of tokens) {
    assert.equal((await gateway.send('/orders', { headers: { authorization } })).status, 200);
  }
  const shown = await gateway.metrics.registry.metrics();
  assert.match(shown, /^token_cache_lookups_total\{service="gateway",result="miss"\} 4$/m);
});

const observability = new URL('../../../infra/observability/', import.meta.url);

function dashboardQueries(): string[] {
  const text = readFileSync(new URL('grafana/dashboard.json', observability), 'utf8');
  const { panels } = JSON.parse(text) as { panels: { targets: { expr: string }[] }[] };
  return panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
}

const alertRules = readFileSync(new URL('prometheus/rules.yml', observability), 'utf8');
const alerts = [...alertRules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name);

function alertQueries(): string[] {
  const queries = [...alertRules.matchAll(/^ +expr: (.+)$/gm)].map(([, query]) => query as string);
  assert.equal(queries.length, alerts.length, 'a query in one line for each alert');
  return queries;
}

/** Every name in a query that is not that of a function, an operator or a label. */
function metricsIn(query: string): string[] {
  const bare = query
    .replaceAll(/"[^"]*"/g, '')
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]/g, '')
    .replaceAll(/\b(?:by|without|on|ignoring)\s*\([^)]*\)/g, '');
  const names = [...bare.matchAll(/\b[a-z_:][\w:]*\b(?!\s*\()/gi)].map(([name]) => name);
  return names.filter((name) => !['and', 'or', 'unless', 'bool'].includes(name));
}

test('every metric that the dashboard or an alert asks for is served by a gateway', async (t) => {
  const { port, close } = await listenApp(() => {});
  await close();
  const gateway = await startTestGateway(t, { env: { METRICS_PORT: String(port) } });
  await gateway.send('/orders', { headers: { authorization: await gateway.bearer() } });
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const served = new Set(['up']);
  for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    for (const end of type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']) served.add(name + end);
  }
  const asked = new Set([...dashboardQueries(), ...alertQueries()].flatMap(metricsIn));
  assert.ok(asked.size > 10);
  assert.deepEqual(
    // What is auth's is looked for there.
    [...asked].filter((name) => !served.has(name) && !/^auth_(?!verdicts_)/.test(name)),
    [],
  );
});

test('each alert fires for its fault, and no other one does', realServer('promtool'), () => {
  const cases = fileURLToPath(new URL('prometheus/rules.test.yml', observability));
  execFileSync('promtool', ['test', 'rules', cases], { timeout: 30_000 });
  const shown = readFileSync(cases, 'utf8');
  assert.deepEqual(
    alerts.filter((alert) => !shown.includes(`alertname="${alert}"`)),
    [],
  );
});

test('what to do is told for each alert', () => {
  const text = readFileSync(new URL('../../../docs/observability.md', import.meta.url), 'utf8');
  const [, table = ''] = /^\| alert \| then \|\n(.*?)\n\n/ms.exec(text) ?? [];
  const told = [...table.matchAll(/^\| (\w+) \|/gm)].map(([, name]) => name);
  assert.deepEqual(told, alerts);
});
