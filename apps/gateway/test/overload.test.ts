import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { createLogger, createMetrics } from '@gatehouse/service-kit';
import { createOverload } from '../src/overload.ts';
import { type Answer, startTestGateway, type TestGateway, until } from './start-gateway.ts';

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
  const gateway = await startTestGateway(t, {
    env: { TRUSTED_PROXIES: '127.0.0.1', ...env },
    answer: (req, res) => (req.url?.includes('hold') ? held.push(res) : res.end('{}')),
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

test('R31 as requests in flight near their bound, the least important are refused first, and health never', async (t) => {
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

test('where one upstream has all that it may have, the next request to it is refused at the door, and others go on', (t) => {
  const overload = createOverload(
    { maxInFlight: 10_000, maxLoopDelayMs: 10_000 },
    {
      isFull: (upstream) => upstream === 'items',
      logger: createLogger({ level: 'silent' }),
      metrics: createMetrics('gateway'),
    },
  );
  t.after(() => overload.close());
  const guarded = overload.guard((_req, res) => Object.assign(res, { isLetIn: true }));
  const isLetIn = (url: string): boolean => {
    const req = { method: 'GET', url, headers: {}, socket: { remoteAddress: '203.0.113.1' } };
    const res = new ServerResponse(new IncomingMessage(new Socket()));
    guarded(req as unknown as IncomingMessage, res as ServerResponse & { req: IncomingMessage });
    assert.equal(res.statusCode, 'isLetIn' in res ? 200 : 503);
    return 'isLetIn' in res;
  };
  for (let i = 0; i < 1_000; i++) assert.ok(isLetIn('/items'), 'there is no need to look');
  assert.equal(isLetIn('/items/5f0c6f0e'), false);
  assert.ok(isLetIn('/orders'));
  assert.ok(isLetIn('/docs'));
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
