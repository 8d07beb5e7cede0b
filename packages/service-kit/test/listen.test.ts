import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { RequestListener, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { nodeSettings, rawRequest } from '@gatehouse/test-kit';
import express from 'express';
import {
  createHealth,
  createLogger,
  createMetrics,
  listen,
  loadConfig,
  ProcessConfigSchema,
  serve,
} from '../src/index.ts';

const onLoopback = { host: '127.0.0.1', port: 0 };

test('a busy port is one plain line', async (t) => {
  const first = await listen(express(), onLoopback);
  t.after(() => first.close());
  await assert.rejects(listen(express(), { host: '127.0.0.1', port: first.port }), {
    message: `port ${first.port} on 127.0.0.1 is already in use`,
  });
});

test('close() lets the request in flight finish, closes idle connections and takes no new one', async () => {
  const started = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const app = express();
  app.get('/slow', async (_req, res) => {
    started.resolve();
    await release.promise;
    res.send('whole');
  });
  const listener = await listen(app, onLoopback);
  const idle = connect(listener.port, '127.0.0.1');
  await once(idle, 'connect');
  idle.write('GET /none HTTP/1.1\r\nHost: a\r\n\r\n');
  await once(idle, 'data');
  const answer = fetch(`${listener.url}/slow`).then((res) => res.text());
  await started.promise;
  const idleClosed = once(idle, 'close');
  const closed = listener.close();
  await idleClosed;
  await assert.rejects(fetch(listener.url));
  release.resolve();
  assert.equal(await answer, 'whole');
  await closed;
});

test('close() closes a connection soon after its last answer, and cuts what has none after eight seconds', async (t) => {
  const asked: ServerResponse[] = [];
  const listener = await listen((_req, res) => void asked.push(res), onLoopback);
  t.after(() => listener.server.closeAllConnections());
  const ask = async () => {
    const socket = connect(listener.port, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(listener.server, 'request');
    return socket;
  };
  const answered = await ask();
  const waiting = (await ask()).resume();
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const closed = listener.close();
  asked[0]?.end('whole');
  await once(answered, 'data');
  for (const [socket, ms] of [
    [answered, 50],
    [waiting, 8_000],
  ] as const) {
    t.mock.timers.tick(ms);
    await once(socket, 'close', { signal: AbortSignal.timeout(5_000) });
  }
  await closed;
});

test('requests and answers are those of the app from the start, so that Express changes neither', async (t) => {
  const app = express();
  app.get('/name', (req, res) => res.send(`${req.path} ${JSON.stringify(res.locals)}`));
  const isOwn: boolean[] = [];
  const inFront: RequestListener = (req, res) => {
    isOwn.push(Object.getPrototypeOf(req) === app.request, Object.getPrototypeOf(res) === app.response);
    app(req, res);
  };
  const logger = createLogger({ level: 'silent' });
  const metrics = createMetrics('test');
  const config = loadConfig(ProcessConfigSchema, { PORT: '0', ISSUER: 'http://localhost' });
  const parts = { config, health: createHealth({}, logger), metrics, logger, inFront };
  const { listener, close } = await serve(app, parts, new AsyncDisposableStack());
  t.after(close);
  const answer = await fetch(`${listener.url}/name`);
  assert.equal(await answer.text(), '/name {}');
  assert.deepEqual(isOwn, [true, true]);
});

test('in a process that listens, what many requests keep for a while is not made among the old objects', async () => {
  const program = `
    const { listen } = await import(${JSON.stringify(import.meta.resolve('../src/listen.ts'))});
    const { close } = await listen(() => {}, { host: '127.0.0.1', port: 0 });
    await close();
    const make = (i) => [{ i }, i];
    const kept = [];
    for (let i = 0; i < 1_500_000; i++) kept.push(make(i));
    console.log(%InYoungGeneration(make(0)));`;
  const args = ['--allow-natives-syntax', '--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: nodeSettings });
  assert.equal(stdout, 'true\n');
});

test('R32 a thousand connections find a place to wait while the process accepts none', async (t) => {
  const mostOfSystem =
    process.platform === 'linux' ? Number(readFileSync('/proc/sys/net/core/somaxconn')) : 128;
  const listening = `
    const { workerData, parentPort } = require('node:worker_threads');
    import(workerData).then(async ({ listen }) => {
      const { port } = await listen((_req, res) => res.end(), { host: '127.0.0.1', port: 0 });
      parentPort.postMessage(port);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const worker = new Worker(listening, { eval: true, workerData: import.meta.resolve('../src/listen.ts') });
  const [port] = await once(worker, 'message');
  const sockets = Array.from({ length: Math.min(1_000, mostOfSystem) }, () => connect(port, '127.0.0.1'));
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await worker.terminate();
  });
  await Promise.all(
    sockets.map((socket) => once(socket, 'connect', { signal: AbortSignal.timeout(10_000) })),
  );
});

test('H05 H25 what the parser refuses is answered as a problem and the connection is closed', async (t) => {
  const listener = await listen((req) => void req.resume(), onLoopback);
  t.after(() => listener.close());
  const chunked = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
  const cases: [string, number][] = [
    ['GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(21_000)}\r\n\r\n`, 431],
    [`${chunked}1;${'a'.repeat(21_000)}\r\n`, 413],
  ];
  for (const [bytes, status] of cases) {
    const answer = await rawRequest(listener.port, bytes);
    assert.equal(answer.status, status);
    assert.match(answer.text, /application\/problem\+json/);
    assert(answer.closed);
  }
});

test('T13 H21 an expectation that is not known is for the app to refuse', async (t) => {
  const listener = await listen((req, res) => res.end(`asked for ${req.headers.expect}`), onLoopback);
  t.after(() => listener.close());
  const bytes = 'GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nConnection: close\r\n\r\n';
  assert.match((await rawRequest(listener.port, bytes)).text, /\r\n\r\nasked for x$/);
});

test('H26 a head has ten seconds, a whole request thirty, and what is late hears so within a second', async (t) => {
  const refused: number[] = [];
  const onRefusal = (status: number) => void refused.push(status);
  const listener = await listen(express(), { ...onLoopback, onRefusal });
  t.after(() => listener.close());
  const { headersTimeout, requestTimeout, keepAliveTimeout, maxConnections } = listener.server;
  assert.deepEqual([headersTimeout, requestTimeout], [10_000, 30_000]);
  assert.deepEqual([keepAliveTimeout, maxConnections], [65_000, 10_000]);
  listener.server.headersTimeout = 10;
  const late = await rawRequest(listener.port, 'GET / HTTP/1.1\r\nHost: a\r\n', { timeoutMs: 5_000 });
  assert.equal(late.status, 408);
  assert.deepEqual(refused, [408]);
});

test('H25 a kept connection hears why its next request is refused, unless an answer is under way', async (t) => {
  const app = express();
  app.get('/whole', (_req, res) => void res.send('whole'));
  app.get('/begun', (_req, res) => void res.write('begun'));
  const listener = await listen(app, onLoopback);
  t.after(() => listener.close());
  const tooLarge = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(21_000)}\r\n\r\n`;
  const after = async (path: string, seen: string) => {
    const socket = connect(listener.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => {
      const before = text;
      text += chunk;
      if (!before.includes(seen) && text.includes(seen)) socket.write(tooLarge);
    });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await once(socket, 'close').catch(() => {});
    return text;
  };
  assert.match(await after('/whole', 'whole'), /HTTP\/1\.1 431 /);
  assert.doesNotMatch(await after('/begun', 'begun'), /431/);
});
