import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rawRequest } from '@gatehouse/test-kit';
import { publicHost, startTestGateway } from './start-gateway.ts';

const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: localhost:8080\r\n\r\n';

test('H01 H02 H04 a body framed in two ways, or in an unknown one, is 400 and the connection closes', async (t) => {
  const gateway = await startTestGateway(t);
  const framings = [
    'Content-Length: 4\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\r\nContent-Length: 4',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding: chunked, chunked',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: identity',
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding:\tchunked\r\nContent-Length: 4',
    'Transfer-Encoding\r\n: chunked',
    ' Transfer-Encoding: chunked',
    'X: y\r\n Transfer-Encoding: chunked',
    'Transfer_Encoding: chunked\r\nContent-Length: 4\r\nContent-Length: 4',
    'Content-Length: 4\r\nContent-Length: 5',
    'Content-Length: 4,4',
    'Content-Length: +4',
    'Content-Length: 0x4',
    'Content-Length: 4 4',
    'Content-Length: 18446744073709551616',
    'Content-Length: -1',
  ];
  for (const framing of framings) {
    const { status, closed, text } = await rawRequest(
      gateway.port,
      `POST /token HTTP/1.1\r\nHost: ${publicHost}\r\n${framing}\r\n\r\n0\r\n\r\n${smuggled}`,
    );
    assert.equal(status, 400, framing);
    assert.equal(closed, true, framing);
    assert.equal(text.match(/HTTP\/1\.1 /g)?.length, 1, framing);
  }
  assert.deepEqual(gateway.received, []);
});

test('H03 a chunked body with a request inside is one upstream request, for every method', async (t) => {
  const gateway = await startTestGateway(t);
  const chunk = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`;
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    gateway.received.length = 0;
    const { status } = await rawRequest(
      gateway.port,
      `${method} /token HTTP/1.1\r\nHost: ${publicHost}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunk}`,
    );
    assert.equal(status, 200, method);
    const [request, ...more] = gateway.received;
    assert.deepEqual([request?.method, request?.url, request?.body, more], [method, '/token', smuggled, []]);
  }
});

test('H03 the same with Content-Length, and DELETE without a body', async (t) => {
  const gateway = await startTestGateway(t);
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    gateway.received.length = 0;
    const { status } = await rawRequest(
      gateway.port,
      `${method} /token HTTP/1.1\r\nHost: ${publicHost}\r\nContent-Length: ${smuggled.length}\r\nConnection: close\r\n\r\n${smuggled}`,
    );
    assert.equal(status, 200, method);
    const [request, ...more] = gateway.received;
    assert.deepEqual([request?.url, request?.body, more], ['/token', smuggled, []], method);
    assert.equal(request?.headers['content-length'], String(smuggled.length), method);
  }
  assert.equal((await gateway.send('/token', { method: 'DELETE' })).status, 200);
  assert.equal(gateway.received.at(-1)?.body, '');
});

test('H05 bare line feeds, folded lines, NUL in a header and another end of the head are 400', async (t) => {
  const gateway = await startTestGateway(t);
  for (const line of ['X: a\nY: b', 'X: a\r\n b', 'X: a\0b', 'X : a', 'X: a\rY: b', 'X: a\r\n\rX']) {
    const { status } = await rawRequest(
      gateway.port,
      `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\n${line}\r\nConnection: close\r\n\r\n`,
    );
    assert.equal(status, 400, JSON.stringify(line));
  }
  assert.deepEqual(gateway.received, []);
});

test('H06 broken chunks are 400 and those with endless extensions 413, at once, and no upstream hears of them', async (t) => {
  const gateway = await startTestGateway(t);
  for (const [chunk, expected] of [
    ['fffffffffffffffff\r\nhi', 400],
    ['zz\r\nhi\r\n0\r\n\r\n', 400],
    ['2\r\nhiX\r\n0\r\n\r\n', 400],
    ['2\nhi\r\n0\r\n\r\n', 400],
    ['-1\r\n\r\n', 400],
    [`2;${'x'.repeat(1_000_000)}\r\nhi\r\n0\r\n\r\n`, 413],
  ] as const) {
    const { status, closed } = await rawRequest(
      gateway.port,
      `POST /token HTTP/1.1\r\nHost: ${publicHost}\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`,
      { timeoutMs: 1_000 },
    );
    assert.deepEqual([status, closed], [expected, true], chunk.slice(0, 20));
  }
  assert.deepEqual(gateway.received, [], 'none arrived whole');
  assert.equal((await gateway.send('/token')).status, 200);
});

test('H23 HTTP/1.0 gets its answer and no keep-alive, asked for or not, and sends no chunks; HTTP/2 and others are 400', async (t) => {
  const gateway = await startTestGateway(t);
  const head = `HTTP/1.0\r\nHost: ${publicHost}\r\n`;
  for (const header of ['', 'Connection: keep-alive\r\n']) {
    for (const path of ['/token', '/health/live']) {
      const { status, text, closed } = await rawRequest(gateway.port, `GET ${path} ${head}${header}\r\n`);
      assert.deepEqual([status, closed], [200, true], header + path);
      assert.doesNotMatch(text, /transfer-encoding|keep-alive/i);
    }
  }
  const chunked = `POST /token ${head}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
  const refused = await rawRequest(gateway.port, chunked + smuggled);
  assert.deepEqual([refused.status, refused.text.match(/HTTP\/1\.1 /g)?.length], [400, 1]);
  for (const start of [
    'GET /token\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET /token HTTP/1.9\r\n\r\n',
  ]) {
    const { status, closed } = await rawRequest(gateway.port, start);
    assert.ok([0, 400, 505].includes(status), `${status} ${start}`);
    assert.equal(closed, true, start);
  }
  assert.equal(gateway.received.length, 2);
});

test('H25 headers beyond 16 KiB are 431, and so are 3,000 of them', async (t) => {
  const gateway = await startTestGateway(t);
  // What the gateway answers itself: an upstream would refuse them too.
  for (const [target, headers] of [
    [`/health/live?${'x'.repeat(17_000)}`, ''],
    ['/health/live', `X: ${'x'.repeat(17_000)}\r\n`],
    ['/health/live', Array.from({ length: 3_000 }, (_, i) => `X${i}: y\r\n`).join('')],
  ]) {
    const { status } = await rawRequest(
      gateway.port,
      `GET ${target} HTTP/1.1\r\nHost: ${publicHost}\r\n${headers}\r\n`,
    );
    assert.equal(status, 431);
  }
  assert.deepEqual(gateway.received, []);
});

test('H05 what is malformed behind a request is not answered in its place', async (t) => {
  const gateway = await startTestGateway(t, { answer: (req) => void req.resume() });
  const head = `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\n\r\n`;
  const { text, closed } = await rawRequest(gateway.port, `${head}no request\r\n\r\n`);
  assert.deepEqual([text, closed], ['', true]);
});
