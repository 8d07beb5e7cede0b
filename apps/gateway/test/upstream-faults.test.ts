import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { rawRequest } from '@gatehouse/test-kit';
import { type Answer, openSocket, publicHost, startTestGateway, until } from './start-gateway.ts';

/** An upstream that answers the bytes it is told, however wrong they are; `requests` has the heads it received. */
async function startRawUpstream(t: TestContext, onRequest: (socket: Socket, count: number) => void) {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        requests.push(text.slice(0, end));
        text = text.slice(end + 4);
        onRequest(socket, requests.length);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port, requests, sockets, close: () => server.close() };
}

function assertProblem(answer: Answer, status: number): void {
  assert.equal(answer.status, status);
  assert.match(String(answer.headers['content-type']), /^application\/problem\+json/);
  assert.equal(answer.json.status, status);
  assert.equal(answer.json.requestId, answer.headers['x-request-id']);
  assert.doesNotMatch(answer.text, /127\.0\.0\.1|localhost|http:|ECONN|UND_|undici/);
}

test('R01 H38 an upstream that is not there is 503 with Retry-After, and is not named', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  upstream.close();
  const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
  const headers = { authorization: await gateway.bearer() };
  assertProblem(await gateway.send('/orders', { headers }), 503);
  for (const method of ['GET', 'POST']) {
    const answer = await gateway.send('/items', { method, headers, body: method === 'POST' ? '{}' : '' });
    assertProblem(answer, 503);
    assert.equal(answer.headers['retry-after'], '1');
  }
  const line = gateway.log.find((entry) => entry.includes('upstream failed')) ?? assert.fail();
  assert.match(line, /"upstream":"orders".*"errorCode":"ECONNREFUSED"/, 'the log does say which and why');
});

for (const method of ['GET', 'POST']) {
  test(`R01 an upstream that is given up is in the log when it is, and in the metrics for each ${method}`, async (t) => {
    const upstream = await startRawUpstream(t, () => {});
    upstream.close();
    const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
    const headers = { authorization: await gateway.bearer() };
    for (let count = 0; count < 25; count++) {
      const request = { method, headers, body: method === 'POST' ? '{}' : '' };
      assertProblem(await gateway.send('/orders', request), 503);
    }
    const shown = await gateway.metrics.registry.metrics();
    const failures = (reason: string) =>
      Number(
        new RegExp(`^upstream_failures_total\\{upstream="orders",reason="${reason}"\\} (\\d+)$`, 'm').exec(
          shown,
        )?.[1],
      );
    assert.ok(failures('given up') > 0);
    assert.equal(failures('unreachable') + failures('given up'), 25);
    await until(() => gateway.log.filter((line) => line.includes('"msg":"request"')).length === 25, 2_000);
    const others = gateway.log
      .map((line) => JSON.parse(line))
      .filter(({ msg, level }) => msg !== 'request' && level !== 'info');
    assert.equal(
      others.length,
      failures('unreachable') + 1,
      'one line for each that was asked, and that it is given up',
    );
    const last = gateway.log.map((line) => JSON.parse(line)).findLast(({ msg }) => msg === 'request');
    assert.equal(last.reason, 'The service is not reachable');
  });
}

test('R03 an upstream that stays silent is 504 at the deadline, and its connection is closed', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
  const headers = { authorization: await gateway.bearer() };
  const answers = await Promise.all(
    ['GET', 'POST'].map((method) => gateway.send('/items', { method, headers })),
  );
  for (const answer of answers) assertProblem(answer, 504);
  await until(() => upstream.sockets.size === 0, 1_000);
  assert.equal(upstream.requests.length, 2, 'a slow request is not asked again');
});

const bad = {
  'a bad status line': 'NOPE\r\n\r\n',
  'a status beyond three digits': 'HTTP/1.1 2000 OK\r\n\r\n',
  '101 that nobody asked for':
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  '1 MB of headers': `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(1_000_000)}\r\n\r\n`,
  'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!',
  'a line break in a header': 'HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n',
  'a header name with a space': 'HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 0\r\n\r\n',
  'a coding that nobody asked for':
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
  nothing: '',
};

for (const [name, bytes] of Object.entries(bad)) {
  test(`R07 an upstream that answers ${name} is 502, and the next request is not harmed`, async (t) => {
    let isBad = true;
    const upstream = await startRawUpstream(t, (socket) => {
      if (isBad) socket.end(bytes);
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi');
    });
    const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
    const headers = { authorization: await gateway.bearer() };
    const answer = await gateway.send('/items', { method: 'POST', headers });
    assertProblem(answer, 502);
    assert.equal(answer.headers['set-cookie'], undefined);
    isBad = false;
    assert.equal((await gateway.send('/items', { headers })).text, 'hi');
  });
}

test('R07 a second answer that nobody asked for reaches nobody', async (t) => {
  const one = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n';
  const upstream = await startRawUpstream(t, (socket, count) => {
    socket.write(count === 1 ? `${one}one${one}bad` : `${one}two`);
  });
  const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
  const headers = { authorization: await gateway.bearer() };
  assert.equal((await gateway.send('/items', { headers })).text, 'one');
  assert.equal((await gateway.send('/items', { headers })).text, 'two');
});

test('interim answers of the upstream are not passed on', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n');
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi');
  });
  const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
  const { text } = await rawRequest(
    gateway.port,
    `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\nConnection: close\r\n\r\n`,
  );
  assert.match(text, /^HTTP\/1\.1 200 OK/);
  assert.doesNotMatch(text, /HTTP\/1\.1 10[23]|^link:/im);
});

test('R02 R08 a GET whose kept connection broke is asked once more on another; a POST is not', async (t) => {
  let broken = false;
  const upstream = await startRawUpstream(t, (socket) => {
    if (broken) socket.destroy();
    else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi');
    broken = false;
  });
  const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
  const headers = { authorization: await gateway.bearer() };
  assert.equal((await gateway.send('/items', { headers })).status, 200);
  broken = true;
  assert.equal((await gateway.send('/items', { headers })).status, 200);
  assert.equal(upstream.requests.length, 3);
  broken = true;
  assertProblem(await gateway.send('/items', { method: 'POST', headers, body: '{}' }), 502);
  assert.equal(upstream.requests.length, 4);
});

test('a GET is asked again only once', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => socket.destroy());
  const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
  const answer = await gateway.send('/items', { headers: { authorization: await gateway.bearer() } });
  assertProblem(answer, 502);
  assert.equal(upstream.requests.length, 2);
});

const truncated = {
  'Content-Length': 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello',
  chunked: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
};

for (const [framing, bytes] of Object.entries(truncated)) {
  for (const end of ['end', 'destroy', 'resetAndDestroy'] as const) {
    test(`R04 an upstream that dies in the middle of a ${framing} body resets the client: ${end}`, async (t) => {
      const upstream = await startRawUpstream(t, async (socket) => {
        socket.write(bytes);
        await delay(50);
        socket[end]();
      });
      const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
      const headers = { authorization: await gateway.bearer() };
      await assert.rejects(gateway.send('/items', { headers }), { code: 'ECONNRESET' });
      await assert.rejects(gateway.send('/items', { method: 'POST', headers, body: '{}' }), {
        code: 'ECONNRESET',
      });
      // HTTP/1.0 has no chunks: there only the reset tells a cut body from a whole one.
      const old = await readToTheEnd(gateway.port, `GET /token HTTP/1.0\r\nHost: ${publicHost}\r\n\r\n`);
      assert.equal(old.errorCode, 'ECONNRESET');
      const failures = gateway.log.filter((line) => line.includes('upstream failed'));
      assert.equal(failures.length, 3, 'each of them is in the log');
      for (const line of failures) assert.match(line, /"errorCode":"(UND_ERR_\w+|ECONNRESET|HPE_\w+)"/);
    });
  }
}

function readToTheEnd(port: number, bytes: string): Promise<{ errorCode: string | undefined }> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let errorCode: string | undefined;
    socket.on('data', () => {});
    socket.on('error', (error: NodeJS.ErrnoException) => {
      errorCode = error.code;
    });
    socket.on('close', () => resolve({ errorCode }));
  });
}

test('R05 a client that leaves before the answer cancels the upstream request', async (t) => {
  for (const head of ['GET /items', 'POST /items']) {
    const upstream = await startRawUpstream(t, () => {});
    const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
    const authorization = await gateway.bearer();
    const leaving = rawRequest(
      gateway.port,
      `${head} HTTP/1.1\r\nHost: ${publicHost}\r\nAuthorization: ${authorization}\r\nContent-Length: 0\r\n\r\n`,
      { timeoutMs: 150 },
    );
    await until(() => upstream.requests.length === 1, 1_000);
    assert.equal(upstream.sockets.size, 1);
    await leaving;
    await until(() => upstream.sockets.size === 0, 5_000);
    assert.doesNotMatch(gateway.log.join(''), /upstream failed/, 'cancelled, and not by a deadline');
  }
});

test('R05 a client that leaves in the middle of the answer, or of its own body, cancels too', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello');
  });
  const silent = await startRawUpstream(t, () => {});
  const requests = [
    [upstream, ''],
    [silent, `Content-Length: 200000\r\n\r\n${'x'.repeat(100_000)}`],
    [silent, `Transfer-Encoding: chunked\r\n\r\n${'5\r\nhello\r\n'.repeat(20_000)}`],
  ] as const;
  for (const [{ url, sockets }, body] of requests) {
    const gateway = await startTestGateway(t, { upstreamUrl: url });
    const leaving = rawRequest(
      gateway.port,
      `POST /token HTTP/1.1\r\nHost: ${publicHost}\r\n${body || '\r\n'}`,
      { timeoutMs: 150 },
    );
    await until(() => sockets.size === 1, 1_000);
    await leaving;
    await until(() => sockets.size === 0, 5_000);
    assert.doesNotMatch(gateway.log.join(''), /upstream failed/, 'cancelled, and not by a deadline');
    assert.equal((await gateway.send('/health/live')).status, 200);
  }
});

test('an answer before the end of the request body reaches the client, and the gateway goes on', async (t) => {
  const gateway = await startTestGateway(t, { answer: (_req, res) => res.writeHead(413).end('too large') });
  const answer = await gateway.send('/token', { method: 'POST', body: 'x'.repeat(3_000_000) });
  assert.deepEqual([answer.status, answer.text], [413, 'too large']);
  assert.equal((await gateway.send('/health/live')).status, 200);
});

test('what is left of a body after an early answer does not stand before the next request', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbad');
  });
  const gateway = await startTestGateway(t, { upstreamUrl: upstream.url });
  const client = openSocket(t, gateway.port);
  client.write(`POST /token HTTP/1.1\r\nHost: ${publicHost}\r\nContent-Length: 1000000\r\n\r\n`);
  client.write('x'.repeat(100_000));
  await client.hears(/^HTTP\/1\.1 400 .*bad$/s);
  client.write('x'.repeat(900_000));
  client.write(`GET /health/live HTTP/1.1\r\nHost: ${publicHost}\r\n\r\n`);
  await client.hears(/^HTTP\/1\.1 200 /);
});

test('200 clients that send one byte of their bodies take nothing from the others, nor reach the upstream', async (t) => {
  const gateway = await startTestGateway(t);
  await Promise.all(
    Array.from({ length: 200 }, async () => {
      const slow = openSocket(t, gateway.port);
      slow.write(
        `POST /token HTTP/1.1\r\nHost: ${publicHost}\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n`,
      );
      await slow.hears(/100 Continue/);
      slow.write('x');
    }),
  );
  assert.equal((await gateway.send('/token')).status, 200);
  assert.equal((await gateway.send('/token', { method: 'POST', body: 'good' })).status, 200);
  assert.deepEqual(
    gateway.received.map(({ method, body }) => [method, body]),
    [
      ['GET', ''],
      ['POST', 'good'],
    ],
  );
});

test('who waits for a connection and then for the answer is answered, however long both take', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const gateway = await startTestGateway(t, {
    upstreamUrl: upstream.url,
    env: { TRUSTED_PROXIES: '127.0.0.1' },
  });
  const ask = (i: number) =>
    gateway.send('/token', { headers: { 'x-forwarded-for': `198.51.100.${i % 5}` } });
  const first = Array.from({ length: 512 }, (_, i) => ask(i));
  await until(() => upstream.requests.length === 512, 10_000);
  // So that its time is not over when they give up.
  await delay(2_000);
  const answers = await Promise.all([...first, ask(0)]);
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([504]));
  assert.equal(upstream.requests.length, 513);
});

test('a frozen upstream: of 1,100 requests each one is answered, and those without a connection never ask', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const gateway = await startTestGateway(t, {
    upstreamUrl: upstream.url,
    env: { MAX_WAIT_MS: '500', MAX_LOOP_DELAY_MS: '60000', TRUSTED_PROXIES: '127.0.0.1' },
  });
  // Auth may be silent for longer than anybody else, so that all have come by then.
  const answers = await Promise.all(
    Array.from({ length: 1_100 }, (_, i) =>
      gateway.send('/token', { method: 'POST', headers: { 'x-forwarded-for': `198.51.100.${i % 5}` } }),
    ),
  );
  const counts = { 503: 0, 504: 0 };
  for (const { status } of answers) counts[status as 503 | 504]++;
  assert.equal(counts[503] + counts[504], 1_100);
  assert.ok(counts[503] > 0 && counts[504] > 0);
  assert.equal(upstream.requests.length, counts[504]);
  const sheds = await gateway.metrics.registry.getSingleMetric('shed_total')?.get();
  assert.deepEqual(
    sheds?.values.map(({ labels }) => labels.reason),
    ['one upstream'],
  );
  assert.doesNotMatch(gateway.log.join(''), /DEADLINE/, 'none waited for the deadline of the whole');
});
