import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rawRequest } from '@gatehouse/test-kit';
import { publicHost, startTestGateway } from './start-gateway.ts';

const expected = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};

test('H34 every answer has the security headers once, and none that tells what runs here', async (t) => {
  const gateway = await startTestGateway(t);
  const authorization = await gateway.bearer();
  const answers = {
    200: await gateway.send('/items', { headers: { authorization } }),
    401: await gateway.send('/items'),
    404: await gateway.send('/nowhere'),
    400: await gateway.send('/items;x'),
    501: await gateway.send('/items', { method: 'TRACE' }),
    417: await gateway.send('/items', { headers: { expect: 'x' } }),
  };
  for (const [status, { headers, rawHeaders, ...answer }] of Object.entries(answers)) {
    assert.equal(answer.status, Number(status));
    for (const [name, value] of Object.entries(expected))
      assert.equal(headers[name], value, `${status} ${name}`);
    const names = rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    assert.deepEqual([...new Set(names)], names, `${status}: no header twice`);
    for (const name of ['server', 'x-powered-by', 'strict-transport-security'])
      assert.equal(headers[name], undefined);
  }
});

test('T13 whatever refuses a request, the answer is a problem document that nobody stores', async (t) => {
  const gateway = await startTestGateway(t, {
    env: { MAX_BODY_BYTES: '10' },
    answer: (_req, res) => res.destroy(),
  });
  const limited = await startTestGateway(t, { env: { RATE_LIMIT_ADDRESS: '1' } });
  const away = await startTestGateway(t, { upstreamUrl: 'http://127.0.0.1:1' });
  await limited.send('/token');
  const token = `Authorization: ${await gateway.bearer({ scope: 'profile:read' })}\r\n`;
  const refused: [status: number, head: string, port?: number][] = [
    [400, 'GET /items;x'],
    [400, 'GET /items\r\nno header'],
    [401, 'GET /items'],
    [403, `GET /users/me/items\r\n${token}`],
    [404, 'GET /nowhere'],
    [405, 'POST /docs'],
    [405, 'CONNECT evil:443'],
    [413, `POST /token\r\nContent-Length: 11`],
    [417, 'GET /items\r\nExpect: x'],
    [426, 'GET /items\r\nConnection: Upgrade\r\nUpgrade: h2c'],
    [429, 'GET /token', limited.port],
    [431, `GET /items\r\nX: ${'x'.repeat(20_000)}`],
    [501, 'TRACE /items'],
    [502, 'POST /token'],
    [503, 'GET /token', away.port],
  ];
  for (const [status, head, port = gateway.port] of refused) {
    const [line, ...headers] = head.trimEnd().split('\r\n');
    const lines = [`${line} HTTP/1.1`, `Host: ${publicHost}`, ...headers];
    const answer = await rawRequest(port, `${lines.join('\r\n')}\r\n\r\n`, { timeoutMs: 500 });
    assert.equal(answer.status, status, line);
    for (const header of [
      /^content-type: application\/problem\+json/im,
      /^cache-control: no-store\r$/im,
      /^x-content-type-options: nosniff\r$/im,
    ])
      assert.match(answer.text, header, line);
    assert.match(answer.text, new RegExp(`\r\n\r\n\\{.*"status":${status}\\b.*\\}$`), line);
  }
});

test("the sign-in pages' own policy and cookies arrive unchanged, and only theirs", async (t) => {
  const csp = "default-src 'self'; form-action 'self' http://localhost:9999";
  const gateway = await startTestGateway(t, {
    answer: (_req, res) => {
      res.setHeader('Content-Security-Policy', csp);
      res.setHeader('Set-Cookie', ['a=1; HttpOnly', 'b=2; HttpOnly']);
      res.setHeader('Content-Type', 'text/html').end('<h1>Sign in</h1>');
    },
  });
  const { headers, rawHeaders, text } = await gateway.send('/interaction/5f0c');
  assert.equal(headers['content-security-policy'], csp);
  assert.equal(rawHeaders.filter((name) => name.toLowerCase() === 'content-security-policy').length, 1);
  assert.deepEqual(headers['set-cookie'], ['a=1; HttpOnly', 'b=2; HttpOnly']);
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(text, '<h1>Sign in</h1>');
});

test("hop-by-hop headers of the upstream's answer, and those its Connection names, stop here", async (t) => {
  const gateway = await startTestGateway(t, {
    answer: (_req, res) => {
      res.setHeader('Connection', 'keep-alive, X-Internal-Hop');
      res.setHeader('X-Internal-Hop', 'secret');
      res.setHeader('Keep-Alive', 'timeout=5');
      res.setHeader('Proxy-Authenticate', 'Basic');
      res.setHeader('Upgrade', 'h2c');
      res.setHeader('Trailer', 'x-checksum');
      res.setHeader('Server', 'internal/1.0');
      res.setHeader('X-Powered-By', 'internal');
      res.setHeader('X-Kept', 'yes');
      res.setHeader('Transfer-Encoding', 'chunked');
      res.write('hi');
      res.addTrailers({ 'x-checksum': 'secret' });
      res.end();
    },
  });
  const { text } = await rawRequest(
    gateway.port,
    `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\nConnection: close\r\n\r\n`,
  );
  assert.match(text, /HTTP\/1\.1 200/);
  assert.match(text, /x-kept: yes/i);
  assert.doesNotMatch(text, /secret|internal|timeout=5|proxy-authenticate|upgrade|trailer/i);
  assert.match(text, /2\r\nhi\r\n0\r\n\r\n$/);
});

test("the upstream's request id does not replace the gateway's", async (t) => {
  const gateway = await startTestGateway(t, {
    answer: (_req, res) => res.setHeader('X-Request-Id', 'of-the-upstream').end(),
  });
  const answer = await gateway.send('/token', { headers: { 'x-request-id': 'of-the-client' } });
  assert.equal(answer.headers['x-request-id'], 'of-the-client');
});

test('HEAD, 204 and 304 keep their headers, have no body and leave the connection usable', async (t) => {
  const gateway = await startTestGateway(t, {
    answer: (req, res) => {
      if (req.method === 'HEAD') return res.writeHead(200, { 'Content-Length': '1234' }).end();
      return req.url === '/token/304'
        ? res.writeHead(304, { ETag: '"1"' }).end()
        : res.writeHead(204, { 'content-length': 5 }).end();
    },
  });
  const lines = ['HEAD /token', 'GET /token/204', 'GET /token/304', 'HEAD /token'];
  const { text } = await rawRequest(
    gateway.port,
    lines
      .map(
        (line, i) =>
          `${line} HTTP/1.1\r\nHost: ${publicHost}\r\n${i === 3 ? 'Connection: close\r\n' : ''}\r\n`,
      )
      .join(''),
  );
  const heads = text.split('\r\n\r\n');
  assert.deepEqual(
    heads.map((head) => head.slice(9, 12)),
    ['200', '204', '304', '200', ''],
  );
  assert.match(heads[0] ?? '', /content-length: 1234/i);
  assert.match(heads[2] ?? '', /etag: "1"/i);
  assert.doesNotMatch(heads[1] ?? '', /transfer-encoding|content-length/i);
});
