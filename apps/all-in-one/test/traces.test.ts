import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { allUpstreamsAt } from '@gatehouse/gateway';
import {
  type CollectedSpan,
  type Collector,
  freePort,
  nodeSettings,
  realServer,
  startCollector,
  startPostgres,
  startRedis,
} from '@gatehouse/test-kit';
import { anyServicePort } from './any-service-port.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const traceId = '0af7651916cd43dd8448eb211c80319c';
const clientSpanId = 'b7ad6b7169203331';
const requestId = 'request-of-this-test';

/** Runs the process of an app until the end of the test. */
function startProcess(t: TestContext, app: string, env: Record<string, string>) {
  const main = join(root, 'apps', app, 'src/main.ts');
  const child = spawn(process.execPath, [main], {
    env: { ...nodeSettings, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const exited = once(child, 'close').then(([code]) => code as number | null);
  const gone = exited.then((code) => assert.fail(`${app} ended with ${code}:\n${output}`));
  gone.catch(() => {});
  return {
    output: () => output,
    ready: (port: string) => Promise.race([gone, untilReady(port)]),
    /** Ends it with SIGTERM; resolves to its exit code. */
    stop() {
      child.kill('SIGTERM');
      return exited;
    },
  };
}

async function untilReady(port: string): Promise<void> {
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined);
    if (answer?.ok) return;
    await delay(50);
  }
}

async function startTestCollector(t: TestContext) {
  const collector = await startCollector();
  t.after(() => collector.close());
  const variables = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_BSP_SCHEDULE_DELAY: '50',
  };
  return { collector, variables };
}

async function signIn(origin: string): Promise<string> {
  const body = new URLSearchParams({
    grant_type: 'password',
    client_id: 'demo-first-party',
    username: 'alice',
    password: 'alice-demo-pass',
    scope: 'items:read orders:read orders:write',
  });
  const response = await fetch(`${origin}/token`, { method: 'POST', body });
  return ((await response.json()) as { access_token: string }).access_token;
}

/** Orders an item, within a trace of the client's. */
async function order(origin: string, token: string): Promise<void> {
  const headers = { Authorization: `Bearer ${token}`, Cookie: 'session=cookie-of-this-test' };
  const list = await fetch(`${origin}/items?limit=17`, { headers });
  const { items } = (await list.json()) as { items: { id: string }[] };
  const response = await fetch(`${origin}/orders`, {
    method: 'POST',
    headers: {
      ...headers,
      'Content-Type': 'application/json',
      traceparent: `00-${traceId}-${clientSpanId}-01`,
      'X-Request-Id': requestId,
    },
    body: JSON.stringify({ lines: [{ itemId: items[0]?.id, quantity: 1 }] }),
  });
  assert.equal(response.status, 201, await response.text());
}

/** What an order does, each step below the one that asks for it. */
const steps = [
  'gateway server POST /orders',
  '  gateway client POST',
  '    orders server POST /orders',
  '      orders client POST',
  '        auth server POST /token',
  '          auth database',
  '      orders client POST',
  '        items server POST /items/{id}/reservations',
  '          items database',
  '            items database',
  '      orders client POST',
  '        items server POST /items/{id}/reservations/{rid}/confirm',
  '          items database',
  '      orders database',
  '        orders database',
];

async function assertTrace({ spans }: Collector): Promise<void> {
  const drawn = () => {
    const ours = spans.filter((span) => span.traceId === traceId);
    return draw(ours, clientSpanId);
  };
  // Each process sends at a time of its own.
  for (let tries = 0; tries < 100 && drawn().join() !== steps.join(); tries++) await delay(100);
  assert.deepEqual(drawn(), steps);
}

// What repeats under one parent stands once.
function draw(spans: readonly CollectedSpan[], parent: string, indent = ''): string[] {
  const lines = spans
    .filter(({ parentSpanId }) => parentSpanId === parent)
    .map((span) => {
      const { service, kind, name, attributes } = span;
      const step = attributes['db.system.name'] === 'postgresql' ? 'database' : `${kind} ${name}`;
      return [`${indent}${service} ${step}`, ...draw(spans, span.spanId, `${indent}  `)].join('\n');
    });
  return [...new Set(lines)].sort().flatMap((line) => line.split('\n'));
}

test(
  'H36 an order is one trace through every process, its database and its logs, and no secret is in it',
  realServer('postgres'),
  async (t) => {
    const { collector, variables } = await startTestCollector(t);
    const [postgres, redis] = await Promise.all([startPostgres(t), startRedis(t)]);
    const names = ['gateway', 'auth', 'items', 'orders'] as const;
    const ports = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, String(await freePort())] as const)),
    ) as Record<(typeof names)[number], string>;
    const urlOf = (name: (typeof names)[number]) => `http://127.0.0.1:${ports[name]}`;
    const secret = (name: string) => readFileSync(join(root, 'infra/secrets/demo', name), 'utf8').trim();
    const origin = `http://localhost:${ports.gateway}`;
    const service = {
      ...variables,
      ISSUER: origin,
      REDIS_URL: redis.url,
      DATABASE_URL: postgres.url,
      JWKS_URI: `${urlOf('auth')}/.well-known/jwks.json`,
      DEMO: 'true',
    };
    const environments = {
      auth: {
        ...service,
        ALLOW_PASSWORD_GRANT: 'true',
        ENCRYPTION_KEY: secret('encryption-key'),
        ORDERS_CLIENT_SECRET: secret('orders-client-secret'),
        USERS_CLIENT_SECRET: secret('users-client-secret'),
      },
      items: service,
      orders: {
        ...service,
        ITEMS_URL: urlOf('items'),
        TOKEN_URL: `${urlOf('auth')}/token`,
        CLIENT_SECRET: secret('orders-client-secret'),
      },
      gateway: {
        ...service,
        DEMO: 'false',
        ...allUpstreamsAt(urlOf('auth')),
        ITEMS_URL: urlOf('items'),
        ORDERS_URL: urlOf('orders'),
      },
    };
    const processes = names.map((name) =>
      startProcess(t, name, { ...environments[name], PORT: ports[name] }),
    );
    await Promise.all(processes.map(({ ready }, i) => ready(ports[names[i] as (typeof names)[number]])));

    const token = await signIn(origin);
    await order(origin, token);
    await assertTrace(collector);

    const [insert] = await collector.find(({ attributes }) =>
      String(attributes['db.query.text']).startsWith('insert into "orders"."orders"'),
    );
    assert.equal(insert?.name, 'INSERT postgres');
    assert.match(String(insert?.attributes['db.query.text']), /values \(.*\$1, \$2/);
    const [exchange] = await collector.find(
      ({ kind, attributes }) => kind === 'client' && String(attributes['url.full']).endsWith('/token'),
    );
    assert.equal(exchange?.attributes['url.full'], `${urlOf('auth')}/token`);
    assert.equal(exchange?.attributes['http.response.status_code'], 200);

    // What ends a process also sends its last spans, and its last lines.
    assert.deepEqual(await Promise.all(processes.map(({ stop }) => stop())), [0, 0, 0, 0]);
    for (const [i, { output }] of processes.entries()) {
      const lines = output()
        .split('\n')
        .filter((line) => line.includes(`"requestId":"${requestId}"`));
      assert.ok(lines.length > 0, `${names[i]} logs the request`);
      for (const line of lines) assert.match(line, new RegExp(`"traceId":"${traceId}"`));
    }
    const text = collector.text();
    assert.match(text, /SELECT postgres/);
    const [header, claims, signature] = token.split('.') as [string, string, string];
    const typed = ['alice-demo-pass', 'cookie-of-this-test', 'limit=17'];
    for (const hidden of [...typed, header, claims, signature, secret('orders-client-secret')]) {
      assert.ok(!text.includes(hidden), `a span holds ${hidden}`);
    }
  },
);

test('npm start sends the same trace, and without its collector it answers, says so once and stops in time', async (t) => {
  const { collector, variables } = await startTestCollector(t);
  const directory = mkdtempSync(join(tmpdir(), 'traces-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const port = String(await freePort());
  const environment = {
    ...variables,
    ...anyServicePort,
    PORT: port,
    DATA_DIR: directory,
    OTEL_EXPORTER_OTLP_TIMEOUT: '200',
  };
  const system = startProcess(t, 'all-in-one', environment);
  await system.ready(port);
  const origin = `http://localhost:${port}`;
  const token = await signIn(origin);
  await order(origin, token);
  // One process, and yet a service each.
  await assertTrace(collector);

  const fault = '"msg":"spans cannot be sent and are lost"';
  await collector.close();
  while (!system.output().includes(fault)) await order(origin, token);
  // The next batch fails too.
  for (let i = 0; i < 10; i++) await Promise.all([order(origin, token), delay(100)]);
  assert.equal(await system.stop(), 0);
  assert.equal(system.output().split(fault).length, 2);
});
