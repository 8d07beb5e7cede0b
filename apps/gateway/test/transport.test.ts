import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { listenApp } from '@gatehouse/test-kit';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { Pool } from 'undici';
import { undiciTransport } from '../src/undici-transport.ts';
import { until } from './start-gateway.ts';

/** http-proxy-middleware aimed at `target`, with our transport aimed at a server that runs `answer`. */
async function startProxy(
  t: TestContext,
  answer: RequestListener,
  {
    target,
    totalTimeoutMs = 60_000,
    maxInFlight = 1_000,
  }: { target?: string; totalTimeoutMs?: number; maxInFlight?: number },
) {
  const upstream = await listenApp(answer);
  const pool = new Pool(upstream.url, { connections: 1 });
  const handler = createProxyMiddleware({
    target: target ?? upstream.url,
    ejectPlugins: true,
    plugins: [
      undiciTransport(pool, { keepsCookies: false, totalTimeoutMs, maxInFlight }),
      (server) => {
        server.on('error', (error: Error & { code?: string }, _req, res) => {
          if (res && 'writeHead' in res) res.writeHead(599).end(error.code);
        });
      },
    ],
  });
  const proxy = await listenApp((req, res) => void handler(req, res, () => {}));
  t.after(proxy.close);
  t.after(() => pool.destroy());
  t.after(upstream.close);
  const ask = async () => (await fetch(proxy.url)).text();
  return { url: proxy.url, ask };
}

test("http-proxy-middleware's own transport is never used: requests go to the pool, not to its target", async (t) => {
  const target = await listenApp((_req, res) => res.end('target'));
  t.after(target.close);
  const proxy = await startProxy(t, (_req, res) => res.end('pool'), { target: target.url });
  for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
    assert.equal(await (await fetch(proxy.url, { method })).text(), 'pool', method);
  }
});

test('what waits for a connection longer than the deadline fails without being asked', async (t) => {
  let asked = 0;
  const proxy = await startProxy(t, () => void asked++, { totalTimeoutMs: 300 });
  assert.deepEqual(await Promise.all([proxy.ask(), proxy.ask()]), ['DEADLINE', 'DEADLINE']);
  // The connection of the first is free for the second now.
  await delay(100);
  assert.equal(asked, 1);
});

test('a body that drips past the deadline is cut off', async (t) => {
  const proxy = await startProxy(
    t,
    (_req, res) => {
      const drip = setInterval(() => res.write('x'), 20);
      res.on('close', () => clearInterval(drip));
    },
    { totalTimeoutMs: 200 },
  );
  await assert.rejects(proxy.ask());
});

test('one request too many fails at once, and a place is free again when an answer or a client has left', async (t) => {
  const waiting: (() => void)[] = [];
  let closed = 0;
  const answer: RequestListener = (_req, res) => {
    waiting.push(() => res.end('done'));
    res.on('close', () => closed++);
  };
  const proxy = await startProxy(t, answer, { maxInFlight: 1 });
  const first = proxy.ask();
  await until(() => waiting.length === 1, 1_000);
  assert.equal(await proxy.ask(), 'OVERLOADED');
  waiting.shift()?.();
  assert.equal(await first, 'done');

  const leaving = new AbortController();
  const left = fetch(proxy.url, { signal: leaving.signal }).catch(() => {});
  await until(() => waiting.length === 1, 1_000);
  leaving.abort();
  await left;
  await until(() => closed === 2, 1_000);
  const last = proxy.ask();
  await until(() => waiting.length === 2, 1_000);
  waiting[1]?.();
  assert.equal(await last, 'done');
});
