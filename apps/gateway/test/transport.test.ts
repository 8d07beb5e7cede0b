import assert from 'node:assert/strict';
import type { RequestListener, ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { listenApp } from '@gatehouse/test-kit';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { Pool } from 'undici';
import { createBreaker } from '../src/breaker.ts';
import { Places } from '../src/places.ts';
import { createRetryBudget } from '../src/retry-budget.ts';
import { undiciTransport } from '../src/undici-transport.ts';
import { openSocket, until } from './start-gateway.ts';

/** http-proxy-middleware aimed at `target`, with our transport aimed at a server that runs `answer`. */
async function startProxy(
  t: TestContext,
  answer: RequestListener,
  {
    target,
    totalTimeoutMs = 60_000,
    waitTimeoutMs = 60_000,
    inFlight = 1_000,
    collecting = 1_000,
    streaming = 1_000,
    savedRetries = 1,
    connections = 1,
    before = (_res, next) => next(),
  }: {
    target?: string;
    totalTimeoutMs?: number;
    waitTimeoutMs?: number;
    inFlight?: number;
    collecting?: number;
    streaming?: number;
    savedRetries?: number;
    connections?: number;
    before?: (res: ServerResponse, next: () => void) => void;
  } = {},
) {
  const upstream = await listenApp(answer);
  const pool = new Pool(upstream.url, { connections });
  const failures: (string | undefined)[] = [];
  const handler = createProxyMiddleware({
    target: target ?? upstream.url,
    ejectPlugins: true,
    plugins: [
      undiciTransport(pool, {
        keepsCookies: false,
        breaker: createBreaker(() => {}),
        retries: createRetryBudget(savedRetries),
        onAnswer: () => {},
        headersOf: () => ({}),
        totalTimeoutMs,
        waitTimeoutMs,
        places: new Places({ collecting, inFlight, streaming }),
      }),
      (server) => {
        server.on('error', (error: Error & { code?: string }, _req, res) => {
          failures.push(error.code);
          if (res && 'writeHead' in res && !res.headersSent) res.writeHead(599).end(error.code);
        });
      },
    ],
  });
  const proxy = await listenApp((req, res) => before(res, () => void handler(req, res, () => {})));
  t.after(proxy.close);
  t.after(() => pool.destroy());
  t.after(upstream.close);
  const ask = async () => (await fetch(proxy.url)).text();
  return { url: proxy.url, port: proxy.port, pool, ask, failures };
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
  const asked: string[] = [];
  const answer: RequestListener = ({ url = '' }, res) => {
    asked.push(url);
    setTimeout(() => res.end(), 500);
  };
  const proxy = await startProxy(t, answer, { totalTimeoutMs: 200 });
  // The one connection there is, taken by somebody who is in no hurry.
  const first = proxy.pool.request({ method: 'GET', path: '/first' });
  await until(() => asked.length === 1, 1_000);
  assert.equal(await proxy.ask(), 'DEADLINE');
  await (await first).body.dump();
  // It is free again.
  await (await proxy.pool.request({ method: 'GET', path: '/last' })).body.dump();
  assert.deepEqual(asked, ['/first', '/last']);
});

test('an answer that drips past the deadline is cut off, and the failure is told', async (t) => {
  const proxy = await startProxy(
    t,
    (_req, res) => {
      const drip = setInterval(() => res.write('x'), 20);
      res.on('close', () => clearInterval(drip));
    },
    { totalTimeoutMs: 200 },
  );
  await assert.rejects(proxy.ask());
  assert.deepEqual(proxy.failures, ['DEADLINE']);
});

test('clients that read too slowly for the deadline do not have the upstream given up', async (t) => {
  const proxy = await startProxy(
    t,
    ({ url }, res) => void res.end(url === '/large' ? Buffer.alloc(32 * 1024 * 1024) : 'hi'),
    { totalTimeoutMs: 1_000, connections: 6 },
  );
  const unread = await Promise.all(Array.from({ length: 6 }, () => fetch(`${proxy.url}/large`)));
  await until(() => proxy.failures.length === 6, 5_000);
  for (const answer of unread) await assert.rejects(answer.text());
  assert.equal(await proxy.ask(), 'hi');
});

test('one request too many fails at once, and a place is free again when an answer or a client has left', async (t) => {
  const waiting: (() => void)[] = [];
  let closed = 0;
  const answer: RequestListener = (_req, res) => {
    waiting.push(() => res.end('done'));
    res.on('close', () => closed++);
  };
  const proxy = await startProxy(t, answer, { inFlight: 1 });
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

test('R06 a slow upstream takes no place of another', async (t) => {
  const waiting: ServerResponse[] = [];
  const slow = await startProxy(t, (_req, res) => void waiting.push(res), { inFlight: 1 });
  const other = await startProxy(t, (_req, res) => res.end('done'), { inFlight: 1 });
  const first = slow.ask();
  await until(() => waiting.length === 1, 1_000);
  assert.equal(await slow.ask(), 'OVERLOADED');
  assert.equal(await other.ask(), 'done');
  waiting[0]?.end('late');
  assert.equal(await first, 'late');
});

test('R09 where every second request breaks, one retry is made for ten answers, and those that were saved', async (t) => {
  let asked = 0;
  const answer: RequestListener = (req, res) => {
    if (asked++ % 2 === 0) req.socket.destroy();
    else res.end('done');
  };
  const proxy = await startProxy(t, answer, { savedRetries: 2 });
  let answered = 0;
  for (let count = 0; count < 100; count++) if ((await proxy.ask()) === 'done') answered++;
  const retries = asked - 100;
  assert.ok(retries > 2, 'answers pay for more');
  assert.ok(retries <= 2 + answered / 10, `${retries} retries, ${answered} answers`);
});

test('who left while the token was verified takes no place: after many of them there is still room', async (t) => {
  let leaving = true;
  let left = 0;
  const proxy = await startProxy(t, (_req, res) => res.end('done'), {
    inFlight: 2,
    collecting: 2,
    before: (res, next) => {
      if (!leaving) return next();
      // By then the client is gone, as it may be when a verification ends.
      res.once('close', () => {
        left++;
        setImmediate(next);
      });
    },
  });
  for (const body of ['\r\n', 'Content-Length: 5\r\n\r\nhello']) {
    for (let i = 0; i < 5; i++) {
      const client = openSocket(t, proxy.port);
      client.write(`POST / HTTP/1.1\r\nHost: x\r\n${body}`);
      await delay(20);
      client.destroy();
    }
  }
  await until(() => left === 10, 2_000);
  leaving = false;
  assert.equal(await proxy.ask(), 'done');
  assert.equal(await (await fetch(proxy.url, { method: 'POST', body: 'hello' })).text(), 'done');
});

test('pipelined requests whose client leaves give back the place of each', async (t) => {
  let asked = 0;
  const answer: RequestListener = (_req, res) => {
    if (asked++ > 0) res.end('done');
  };
  const proxy = await startProxy(t, answer, { inFlight: 2 });
  const client = openSocket(t, proxy.port);
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2));
  await until(() => asked === 1, 1_000);
  client.destroy();
  await delay(50);
  assert.deepEqual(await Promise.all([proxy.ask(), proxy.ask()]), ['done', 'done']);
});

test('what waits too long for a connection fails before what it waits behind, and costs no connection', async (t) => {
  const waiting: ServerResponse[] = [];
  const sockets = new Set<unknown>();
  const answer: RequestListener = (req, res) => {
    sockets.add(req.socket);
    waiting.push(res);
  };
  const proxy = await startProxy(t, answer, { waitTimeoutMs: 200, inFlight: 2 });
  const first = proxy.ask();
  await until(() => waiting.length === 1, 1_000);
  assert.equal(await proxy.ask(), 'OVERLOADED');
  assert.equal(await proxy.ask(), 'OVERLOADED', 'the place of the one before was given back');
  waiting[0]?.end('done');
  assert.equal(await first, 'done');
  const last = proxy.ask();
  await until(() => waiting.length === 2, 1_000);
  waiting[1]?.end('last');
  assert.equal(await last, 'last');
  assert.equal(sockets.size, 1);
});

test('bodies on their way in have places of their own, and one too many fails at once', async (t) => {
  const proxy = await startProxy(t, (_req, res) => res.end('done'), { collecting: 1, inFlight: 1 });
  const slow = openSocket(t, proxy.port);
  slow.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
  await slow.hears(/100 Continue/);
  assert.equal(await proxy.ask(), 'done');
  const post = async () => (await fetch(proxy.url, { method: 'POST', body: 'hello' })).text();
  assert.equal(await post(), 'OVERLOADED');
  slow.write('hello');
  await slow.hears(/done/);
  assert.equal(await post(), 'done');
});

test('a body that is late for the deadline, or whose client leaves, is never sent on', async (t) => {
  let asked = 0;
  const answer: RequestListener = (req, res) => {
    if (req.method === 'POST') asked++;
    res.end('done');
  };
  const proxy = await startProxy(t, answer, { totalTimeoutMs: 200, collecting: 1, inFlight: 1 });
  const head = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nh';
  const late = openSocket(t, proxy.port);
  late.write(head);
  await late.hears(/DEADLINE/);
  late.write('ello');
  const leaving = openSocket(t, proxy.port);
  leaving.write(head);
  await delay(50);
  leaving.destroy();
  await delay(50);
  assert.equal(await proxy.ask(), 'done');
  assert.equal(asked, 0);
  assert.equal(await (await fetch(proxy.url, { method: 'POST', body: 'hello' })).text(), 'done');
});

for (const size of [1, 65_535, 65_536, 65_537, 100_000, 131_072, 200_000]) {
  test(`a body of ${size} bytes arrives whole, in one write or in many`, async (t) => {
    const proxy = await startProxy(t, (req, res) => {
      let length = 0;
      req.on('data', (chunk) => {
        length += chunk.length;
      });
      req.on('end', () => res.end(`${length} bytes`));
    });
    for (const step of [size, 10_000]) {
      const client = openSocket(t, proxy.port);
      client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`);
      for (let sent = 0; sent < size; sent += step) {
        client.write('x'.repeat(Math.min(step, size - sent)));
        await delay(1);
      }
      await client.hears(new RegExp(`${size} bytes`));
    }
  });
}

test('bodies that come slowly take a part of the places, and leave the others to requests that are there', async (t) => {
  const proxy = await startProxy(t, (req, res) => void req.resume().on('end', () => res.end('done')), {
    streaming: 2,
    connections: 3,
  });
  const start = () => {
    const client = openSocket(t, proxy.port);
    client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(70_000)}`);
    return client;
  };
  const slow = [start(), start()];
  await delay(100);
  await start().hears(/OVERLOADED/);
  assert.equal(await proxy.ask(), 'done');
  for (const client of slow) client.write('x'.repeat(30_000));
  for (const client of slow) await client.hears(/done/);
  const next = start();
  next.write('x'.repeat(30_000));
  await next.hears(/done/);
});
