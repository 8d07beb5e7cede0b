import assert from 'node:assert/strict';
import { IncomingMessage, request, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createLogger, createMetrics } from '@gatehouse/service-kit/core';
import { createOverload, type OverloadLimits } from '../src/overload.ts';
import type { UpstreamName } from '../src/upstreams.ts';
import { type Answer, publicHost, startTestGateway, type TestGateway, until } from './start-gateway.ts';

const requests = {
  docs: ['GET', '/openapi.json'],
  reads: ['GET', '/items'],
  writes: ['POST', '/items'],
  vital: ['POST', '/token'],
  health: ['GET', '/health/live'],
} as const;
const kinds = Object.keys(requests) as (keyof typeof requests)[];

/** The gateway with upstreams that answer /token?hold only when released; the trusted proxy tells who holds. */
async function startHolding(t: Parameters<typeof startTestGateway>[0], env: Record<string, string>) {
  const held: ServerResponse[] = [];
  const arrived: string[] = [];
  const gateway = await startTestGateway(t, {
    env: { TRUSTED_PROXIES: '127.0.0.1', MAX_WAIT_MS: '100', ...env },
    answer: (req, res) => {
      arrived.push(`${req.method} ${req.url}`);
      if (req.url?.includes('hold')) held.push(res);
      else res.end('{}');
    },
  });
  const authorization = await gateway.bearer();
  const ask = (kind: keyof typeof requests, from = '203.0.113.1'): Promise<Answer> => {
    const [method, path] = requests[kind];
    return gateway.send(path, { method, headers: { authorization, 'x-forwarded-for': from } });
  };
  let holders = 0;
  const pending: Promise<Answer>[] = [];
  return {
    gateway,
    /** What reached the upstreams, in order. */
    arrived,
    ask,
    /** Who is refused now, of all kinds of requests. */
    async refused() {
      const seen: string[] = [];
      for (const kind of kinds) {
        const answer = await ask(kind);
        if (answer.status === 503) seen.push(kind);
        if (answer.status === 503) assertShed(answer);
      }
      return seen;
    },
    async hold(upTo: number, from = () => `198.51.100.${holders}`) {
      while (holders < upTo) {
        holders += 1;
        pending.push(gateway.send('/token?hold', { headers: { 'x-forwarded-for': from() } }));
      }
      await until(() => held.length === upTo, 2_000);
    },
    async release() {
      for (const res of held) res.end('{}');
      return Promise.all(pending);
    },
  };
}

function assertShed(answer: Answer): void {
  assert.match(String(answer.headers['content-type']), /^application\/problem\+json/);
  assert.equal(answer.headers['retry-after'], '1');
  assert.equal(answer.json.status, 503);
  assert.match(String(answer.json.instance), /^\/[a-z./]+$/);
}

async function shedsOf(gateway: TestGateway): Promise<Record<string, number>> {
  const { values } = (await gateway.metrics.registry.getSingleMetric('shed_total')?.get()) ?? { values: [] };
  return Object.fromEntries(
    values.map(({ labels, value }) => [`${labels.reason}: ${labels.importance}`, value]),
  );
}

test('R31 as requests in flight near their bound, the least important find no room first, and health always', async (t) => {
  const { gateway, hold, refused, release } = await startHolding(t, { MAX_IN_FLIGHT: '20' });
  assert.deepEqual(await refused(), []);
  await hold(10);
  assert.deepEqual(await refused(), ['docs']);
  await hold(14);
  assert.deepEqual(await refused(), ['docs', 'reads']);
  await hold(17);
  assert.deepEqual(await refused(), ['docs', 'reads', 'writes']);
  await hold(20);
  assert.deepEqual(await refused(), ['docs', 'reads', 'writes', 'vital']);
  for (const answer of await release()) assert.equal(answer.status, 200, 'what was let in is answered');
  await until(() => gateway.log.some((line) => line.includes('overloaded')), 2_000);
  assert.deepEqual(await refused(), []);
  assert.deepEqual(await shedsOf(gateway), {
    'in flight: docs': 4,
    'in flight: reads': 3,
    'in flight: writes': 2,
    'in flight: vital': 1,
  });
  await until(() => gateway.log.some((line) => line.includes('no longer overloaded')), 5_000);
});

test('what waits is let in when there is room, and what matters most goes first', async (t) => {
  const limits = { MAX_IN_FLIGHT: '20', MAX_WAIT_MS: '5000' };
  const { gateway, arrived, hold, ask, release } = await startHolding(t, limits);
  await hold(20);
  const order: string[] = [];
  const asked = (['docs', 'reads', 'writes', 'vital'] as const).map(async (kind) => {
    const { status } = await ask(kind);
    order.push(`${kind} ${status}`);
  });
  await delay(100);
  assert.equal(order.length, 0, 'they wait');
  assert.equal((await ask('health')).status, 200);
  await release();
  await Promise.all(asked);
  assert.deepEqual(order.sort(), ['docs 200', 'reads 200', 'vital 200', 'writes 200']);
  const forwarded = arrived.slice(20).filter((line) => line !== 'GET /openapi.json');
  assert.deepEqual(forwarded, ['POST /token', 'POST /items', 'GET /items']);
  assert.deepEqual(await shedsOf(gateway), {});
  const waits = await gateway.metrics.registry.getSingleMetricAsString('wait_duration_seconds');
  const sums = [...waits.matchAll(/^wait_duration_seconds_sum\{importance="(\w+)"\} (\S+)$/gm)];
  assert.deepEqual(sums.map(([, importance]) => importance).sort(), ['docs', 'reads', 'vital', 'writes']);
  for (const [line, , sum] of sums) assert.ok(Number(sum) >= 0.1 && Number(sum) < 5, line);

  assert.equal((await ask('reads')).status, 200);
  const logged = () => gateway.log.filter((line) => line.includes('"path":"/items"'));
  await until(() => logged().length === 3, 2_000);
  const [writes, reads, atOnce] = logged().map((line) => JSON.parse(line).waitedMs);
  const measured = new Map(sums.map(([, importance, sum]) => [importance, Number(sum) * 1_000]));
  for (const [importance, waitedMs] of Object.entries({ writes, reads }))
    assert.ok(Math.abs(waitedMs - (measured.get(importance) ?? 0)) < 0.01, `${importance}: ${waitedMs}`);
  assert.equal(atOnce, undefined, 'who did not wait');
});

test('who leaves while waiting is not let in, and takes no room', async (t) => {
  const limits = { MAX_IN_FLIGHT: '20', MAX_WAIT_MS: '5000' };
  const { gateway, arrived, hold, release } = await startHolding(t, limits);
  await hold(20);
  const leaving = request({ port: gateway.port, path: '/token?left', headers: { host: publicHost } });
  leaving.on('error', () => {}).end();
  await delay(100);
  leaving.destroy();
  await delay(100);
  await release();
  assert.ok(!arrived.includes('GET /token?left'), arrived.join());
  await hold(40);
  for (const answer of await release()) assert.equal(answer.status, 200);
});

/** The guard alone; `ask` sends it a request, and `letIn` has those that it let in. */
function startGuard(t: TestContext, limits: Partial<OverloadLimits>, isFull = (_: UpstreamName) => false) {
  const overload = createOverload(
    { maxInFlight: 10_000, maxWaiting: 10_000, maxWaitMs: 60_000, maxLoopDelayMs: 60_000, ...limits },
    { isFull, logger: createLogger({ level: 'silent' }), metrics: createMetrics('gateway') },
  );
  t.after(() => overload.close());
  const letIn: string[] = [];
  const guarded = overload.guard((req) => letIn.push(`${req.socket.remoteAddress} ${req.url}`));
  const ask = (url: string, remoteAddress = '203.0.113.1') => {
    const req = { method: 'GET', url, headers: {}, socket: { remoteAddress } } as unknown as IncomingMessage;
    const res = new ServerResponse(new IncomingMessage(new Socket()));
    guarded(req, res as ServerResponse & { req: IncomingMessage });
    return res;
  };
  return { letIn, ask };
}

/** The next turn of the event loop has begun. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('where one upstream has all that it may have, what comes for it waits, and others go on', async (t) => {
  const full = new Set<UpstreamName>();
  const { letIn, ask } = startGuard(t, {}, (upstream) => full.has(upstream));
  while (letIn.length < 1_000) {
    ask('/items', `198.51.100.${letIn.length % 5}`);
    await turn();
  }
  full.add('items');
  ask('/items/5f0c6f0e');
  ask('/orders');
  ask('/docs');
  await turn();
  assert.deepEqual(letIn.splice(1_000), ['203.0.113.1 /orders', '203.0.113.1 /docs']);
  full.clear();
  ask('/users');
  await turn();
  assert.deepEqual(letIn.splice(1_000).sort(), ['203.0.113.1 /items/5f0c6f0e', '203.0.113.1 /users']);
});

test('a turn of the event loop takes on a few requests, one of each network that has some', async (t) => {
  const { letIn, ask } = startGuard(t, {});
  for (let i = 1; i <= 22; i++) ask(`/items/${i}`, '203.0.113.1');
  assert.equal(letIn.length, 16);
  ask('/items/1', '203.0.113.2');
  ask('/items/2', '203.0.113.2');
  ask('/items/1', '203.0.113.3');
  await turn();
  assert.deepEqual(letIn.splice(16), [
    '203.0.113.1 /items/17',
    '203.0.113.2 /items/1',
    '203.0.113.3 /items/1',
    '203.0.113.1 /items/18',
    '203.0.113.2 /items/2',
    '203.0.113.1 /items/19',
    '203.0.113.1 /items/20',
    '203.0.113.1 /items/21',
  ]);
  await turn();
  assert.deepEqual(letIn.splice(16), ['203.0.113.1 /items/22']);
});

test('one more than may wait is refused at once, and one network leaves places to others', (t) => {
  const { letIn, ask } = startGuard(t, { maxWaiting: 10 });
  const statuses = (count: number, address: string) =>
    Array.from({ length: count }, () => ask('/items', address).statusCode);
  statuses(16, '203.0.113.1');
  assert.equal(letIn.length, 16);
  assert.deepEqual(statuses(5, '203.0.113.1'), [200, 200, 200, 200, 503]);
  assert.deepEqual(statuses(5, '203.0.113.2'), [200, 200, 200, 200, 503]);
  assert.deepEqual(statuses(3, '203.0.113.3'), [200, 200, 503]);
});

test('slow requests of one network leave room for others', async (t) => {
  const { gateway, hold, ask, release } = await startHolding(t, { MAX_IN_FLIGHT: '20' });
  await hold(8, () => '198.51.100.1');
  assertShed(await ask('vital', '198.51.100.1'));
  assert.equal((await ask('docs', '198.51.100.2')).status, 200);
  await release();
  assert.equal((await ask('vital', '198.51.100.1')).status, 200);
  assert.deepEqual(await shedsOf(gateway), { 'one network: vital': 1 });
});

test('one network has 40 % of what may be with one upstream, however many may be in flight', async (t) => {
  const { letIn, ask } = startGuard(t, { maxInFlight: 4_000 });
  for (let count = 0; count < 500; count++) {
    ask('/items');
    await turn();
  }
  assert.equal(letIn.length, 400);
  ask('/items', '203.0.113.2');
  await turn();
  assert.equal(letIn.length, 401);
});

test('R30 what waited behind a stalled event loop is refused by importance, and soon all is answered again', async (t) => {
  const { gateway, ask, refused } = await startHolding(t, { MAX_LOOP_DELAY_MS: '3000' });
  await refused();
  const stalledMs = 2_250;
  for (let tries = 0; ; tries++) {
    const answers = new Map(kinds.map((kind) => [kind, ask(kind)]));
    // The connections are made, and what was written on them waits.
    await new Promise((resolve) => setImmediate(resolve));
    for (const startedAt = performance.now(); performance.now() < startedAt + stalledMs; );
    const statuses = await Promise.all(
      [...answers].map(async ([kind, answer]) => [kind, (await answer).status]),
    );
    const { docs, reads, ...others } = Object.fromEntries(statuses);
    assert.deepEqual(others, { writes: 200, vital: 200, health: 200 });
    if (docs === 503 && reads === 503) break;
    // On a busy machine they may not have been written before the stall, and so have not waited behind it.
    assert.ok(tries < 5, `docs ${docs}, reads ${reads}`);
  }
  await until(() => gateway.log.some((line) => line.includes('overloaded')), 2_000);
  assert.deepEqual(await refused(), []);
});
