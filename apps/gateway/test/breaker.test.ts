import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { listen } from '@gatehouse/service-kit/core';
import { listenApp } from '@gatehouse/test-kit';
import { type BreakerState, createBreaker } from '../src/breaker.ts';
import { publicHost, startTestGateway } from './start-gateway.ts';

test('R01 R03 an upstream that fails five times in a row is asked no more, 503 at once, until one request finds it well', async (t) => {
  let isWell = false;
  let asked = 0;
  const upstream = await listenApp((req, res) => {
    asked += 1;
    if (isWell) setTimeout(() => res.end('hi'), 50);
    else req.socket.destroy();
  });
  t.after(upstream.close);
  const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
  const headers = { authorization: await gateway.bearer() };
  const ask = (path = '/items') => gateway.send(path, { method: 'POST', headers });
  for (let count = 0; count < 5; count++) assert.equal((await ask()).status, 502);
  const refused = await ask();
  assert.equal(refused.status, 503);
  assert.equal(refused.headers['retry-after'], '1');
  assert.equal(asked, 5);
  assert.match(await gateway.metrics.registry.metrics(), /breaker_state\{upstream="items"\} 2/);

  assert.equal((await ask('/orders')).status, 502);
  assert.equal(asked, 6, 'R06 another upstream is another matter');

  await delay(600);
  assert.equal((await ask()).status, 502, 'the one that finds out');
  assert.equal((await ask()).status, 503);
  assert.equal(asked, 7);

  isWell = true;
  await delay(600);
  const both = await Promise.all([ask(), ask()]);
  assert.deepEqual(
    both.map(({ status }) => status).sort(),
    [200, 503],
    'one finds out, and nobody waits for it',
  );
  assert.equal((await ask()).status, 200);
  assert.equal(asked, 9);
  assert.equal(gateway.log.filter((line) => line.includes('given up for now')).length, 1);
  assert.match(await gateway.metrics.registry.metrics(), /breaker_state\{upstream="items"\} 0/);
});

test('an upstream that answers is well, whatever its answers are', async (t) => {
  const gateway = await startTestGateway(t, { answer: (_req, res) => res.writeHead(500).end() });
  const headers = { authorization: await gateway.bearer() };
  for (let count = 0; count < 10; count++) {
    assert.equal((await gateway.send('/items', { headers })).status, 500);
  }
});

test('the one that finds out may read as slowly as it likes: the others are served meanwhile', async (t) => {
  let asked = 0;
  const upstream = await listenApp((req, res) => {
    asked += 1;
    if (asked <= 5) req.socket.destroy();
    else res.end(asked === 6 ? Buffer.alloc(32 * 1024 * 1024) : 'hi');
  });
  t.after(upstream.close);
  const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
  const headers = { authorization: await gateway.bearer() };
  const ask = () => gateway.send('/items', { method: 'POST', headers });
  for (let count = 0; count < 5; count++) assert.equal((await ask()).status, 502);
  await delay(600);
  const slow = request(`${gateway.url}/items`, {
    method: 'POST',
    agent: false,
    headers: { host: publicHost, ...headers },
  });
  slow.on('error', () => {}).end();
  await once(slow, 'response');
  let status = 503;
  for (let count = 0; count < 50 && status === 503; count++) {
    await delay(20);
    ({ status } = await ask());
  }
  slow.destroy();
  assert.equal(status, 200);
});

test('a client that leaves says nothing of the upstream, and does not close the breaker either', async () => {
  const states: BreakerState[] = [];
  const breaker = createBreaker((state) => states.push(state));
  const tell = async (isWell: boolean | undefined) => {
    const admission = breaker.admit();
    assert.ok(admission);
    admission.tell(isWell);
    await delay(1);
  };
  for (let count = 0; count < 10; count++) await tell(undefined);
  for (let count = 0; count < 4; count++) await tell(false);
  await tell(undefined);
  assert.deepEqual(states, []);
  await tell(false);
  assert.deepEqual(states, ['open']);
  assert.equal(breaker.state(), 'open');
  await delay(600);
  assert.equal(breaker.state(), 'half open', 'though nobody has come');
  await tell(undefined);
  assert.deepEqual(states, ['open', 'half open', 'open']);
  await tell(true);
  assert.equal(breaker.state(), 'closed', 'the next one found out, and did not have to wait');
});

test('an answer between failures begins their count anew', async () => {
  const states: BreakerState[] = [];
  const breaker = createBreaker((state) => states.push(state));
  for (const isWell of [false, false, false, false, true, false, false, false, false]) {
    breaker.admit()?.tell(isWell);
    await delay(1);
  }
  assert.deepEqual(states, []);
});

test('who was asked before an upstream was given up says nothing of it any more', async () => {
  const states: BreakerState[] = [];
  const breaker = createBreaker((state) => states.push(state));
  const [late, ...others] = Array.from({ length: 6 }, () => breaker.admit());
  for (const admission of others) {
    admission?.tell(false);
    await delay(1);
  }
  late?.tell(true);
  await delay(1);
  assert.deepEqual(states, ['open']);
  assert.equal(breaker.admit(), undefined);
});

test('a client that makes an upstream answer before its body is there does not have it given up', async (t) => {
  // As every service of ours is served, and as one that refuses early.
  const service = await listen((req, res) => void req.resume().on('end', () => res.end('hi')), {
    host: '127.0.0.1',
    port: 0,
  });
  t.after(service.close);
  const refusing = await listenApp((req, res) => {
    if (req.method === 'GET') res.end('hi');
    else res.writeHead(413, { connection: 'close' }).end(() => req.socket.destroy());
  });
  t.after(refusing.close);
  for (const { url } of [service, refusing]) {
    const gateway = await startTestGateway(t, { upstreamUrl: url });
    const headers = { 'x-pad': 'x'.repeat(16 * 1024 - 200) };
    const body = 'x'.repeat(1_000_000);
    for (let count = 0; count < 7; count++) {
      const answer = await gateway.send('/token', { method: 'POST', headers, body });
      if (url === service.url) assert.equal(answer.status, 200, 'what the gateway takes, a service does');
    }
    assert.equal((await gateway.send('/authorize')).status, 200);
  }
});

test('an answer without an end lets the others in as soon as it has begun', async (t) => {
  let isWell = false;
  const gateway = await startTestGateway(t, {
    answer: (req, res) => {
      if (!isWell) req.socket.destroy();
      else if (req.url === '/authorize') res.write('.');
      else res.end('hi');
    },
  });
  for (let count = 0; count < 5; count++)
    assert.equal((await gateway.send('/token', { method: 'POST' })).status, 502);
  isWell = true;
  await delay(600);
  const endless = request(`${gateway.url}/authorize`, { agent: false, headers: { host: publicHost } });
  endless.on('error', () => {}).end();
  await once(endless, 'response');
  assert.equal((await gateway.send('/token', { method: 'POST' })).status, 200);
  endless.destroy();
});
