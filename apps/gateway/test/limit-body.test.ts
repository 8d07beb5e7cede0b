import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { rawRequest } from '@gatehouse/test-kit';
import { publicHost, startTestGateway, until } from './start-gateway.ts';

const most = 200_000;
const env = { MAX_BODY_BYTES: String(most) };
const kept = `POST /token HTTP/1.1\r\nHost: ${publicHost}\r\n`;
const post = `${kept}Connection: close\r\n`;

test('H28 a body that is declared too long is 413 at once, and no upstream is asked', async (t) => {
  const gateway = await startTestGateway(t, { env });
  const { status, text, closed } = await rawRequest(
    gateway.port,
    `${kept}Content-Length: ${most + 1}\r\n\r\n`,
  );
  assert.equal(status, 413);
  assert.match(text, /application\/problem\+json/);
  assert.equal(closed, true);
  assert.deepEqual(gateway.received, []);
});

test('H28 a chunked body without end is 413 when it has grown too long, and the upstream is let go', async (t) => {
  let bytes = 0;
  let isLetGo = false;
  const gateway = await startTestGateway(t, {
    env,
    answer: async (req) => {
      req.on('data', (chunk) => {
        bytes += chunk.length;
      });
      await once(req, 'close').catch(() => {});
      isLetGo = !req.complete;
    },
  });
  const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`;
  const { status } = await rawRequest(
    gateway.port,
    `${post}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(20)}`,
  );
  assert.equal(status, 413);
  const line = () => gateway.log.find((entry) => entry.includes('"path":"/token"'));
  await until(() => line() !== undefined, 2_000);
  assert.equal(JSON.parse(line() ?? '').status, 413, 'not that the client has left');
  await until(() => isLetGo, 5_000);
  // What came in one piece with the last byte that was allowed goes on with it.
  assert.ok(bytes <= most + 64 * 1024, `${bytes} bytes reached the upstream`);
});

test('H28 a body of just the bound passes, in either framing', async (t) => {
  const gateway = await startTestGateway(t, { env });
  const whole = await gateway.send('/token', { method: 'POST', body: 'x'.repeat(most) });
  const chunked = await gateway.send('/token', {
    method: 'POST',
    headers: { 'transfer-encoding': 'chunked' },
    body: 'x'.repeat(most),
  });
  assert.deepEqual([whole.status, chunked.status], [200, 200]);
  assert.deepEqual(
    gateway.received.map(({ body }) => body.length),
    [most, most],
  );
});

test('H28 the 413 of a request that waits behind another is not written into that one’s answer', async (t) => {
  const gateway = await startTestGateway(t, {
    env,
    answer: (req, res) => {
      if (req.url !== '/authorize') return void req.resume();
      res.writeHead(200, { 'content-length': 300 }).write('A'.repeat(200));
    },
  });
  const socket = connect(gateway.port, '127.0.0.1');
  t.after(() => socket.destroy());
  let text = '';
  socket
    .on('error', () => {})
    .on('data', (chunk) => {
      text += chunk;
    });
  socket.write(`GET /authorize HTTP/1.1\r\nHost: ${publicHost}\r\n\r\n`);
  await until(() => text.endsWith('A'.repeat(200)), 2_000);
  const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`;
  socket.write(`${post}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(10)}`);
  await once(socket, 'close');
  assert.ok(text.endsWith('A'.repeat(200)), text.slice(-80));
});

test('H28 the 413 is not written into an answer that has begun before its request was there', async (t) => {
  const gateway = await startTestGateway(t, {
    env,
    answer: (_req, res) => {
      res.writeHead(200, { 'content-length': most }).write('A'.repeat(200));
    },
  });
  const socket = connect(gateway.port, '127.0.0.1').on('error', () => {});
  t.after(() => socket.destroy());
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`;
  socket.write(`${post}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(4)}`);
  await until(() => text.endsWith('A'.repeat(200)), 2_000);
  socket.write(chunk.repeat(6));
  await once(socket, 'close');
  assert.ok(text.endsWith('A'.repeat(200)), text.slice(-80));
});
