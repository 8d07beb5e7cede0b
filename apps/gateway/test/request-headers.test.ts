import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rawRequest } from '@gatehouse/test-kit';
import { openSocket, publicHost, startTestGateway, until } from './start-gateway.ts';

const forged = [
  'X-Forwarded-For',
  'X-Forwarded-Host',
  'X-Forwarded-Proto',
  'X-Forwarded-Port',
  'X-Forwarded-Prefix',
  'X-Forwarded-User',
  'X-Forwarded',
  'Forwarded',
  'X-Real-IP',
  'True-Client-IP',
  'CF-Connecting-IP',
  'Fastly-Client-IP',
  'X-Client-IP',
  'X-Cluster-Client-IP',
  'X-Original-URL',
  'X-Original-Host',
  'X-Rewrite-URL',
  'X-HTTP-Method-Override',
  'X-HTTP-Method',
  'X-Method-Override',
  'X-User-Id',
  'X-User-ID',
  'X-User',
  'X-User-Roles',
  'X-Scope',
  'X-Scopes',
  'X-Client-Id',
  'X-Role',
  'X-Roles',
  'X-Auth-User',
  'X-Remote-User',
  'X-Access-Token',
  'X-Access-Level',
  'x_user_id',
  'X_Forwarded_For',
  'X-User_Id',
  '__proto__',
];
const block = forged.map((name) => `${name}: forged\r\n`).join('');
const bodies = {
  GET: '',
  POST: 'Content-Length: 2\r\n\r\nhi',
  'chunked POST': 'Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
  'POST with Expect': 'Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi',
};

for (const [kind, body] of Object.entries(bodies)) {
  test(`H16 H20 H30 headers that only a gateway may set never come from the client: ${kind}`, async (t) => {
    const gateway = await startTestGateway(t);
    for (const path of ['/items', '/token']) {
      const { text } = await rawRequest(
        gateway.port,
        `${kind.replace(/^.*(GET|POST).*$/, '$1')} ${path} HTTP/1.1\r\nHost: ${publicHost}\r\n` +
          `Authorization: ${await gateway.bearer()}\r\n${block}X-Kept: yes\r\nConnection: close\r\n${body || '\r\n'}`,
      );
      assert.match(text, /HTTP\/1\.1 200/);
      const { rawHeaders, headers, body: sent } = gateway.received.at(-1) ?? assert.fail();
      assert.ok(!rawHeaders.includes('forged'), `${path}: ${rawHeaders}`);
      assert.equal(headers['x-forwarded-for'], '127.0.0.1');
      assert.equal(headers['x-kept'], 'yes');
      assert.equal(sent, kind === 'GET' ? '' : 'hi');
    }
  });
}

test('H18 headers named in Connection go no further, whatever their name', async (t) => {
  const gateway = await startTestGateway(t);
  const { status } = await rawRequest(
    gateway.port,
    `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\nConnection: close, X-Secret ,cookie,x-forwarded-for\r\n` +
      'X-Secret: 1\r\nCookie: a=b\r\nX-Kept: yes\r\n\r\n',
  );
  assert.equal(status, 200);
  const { headers } = gateway.received[0] ?? assert.fail();
  assert.equal(headers['x-secret'], undefined);
  assert.equal(headers.cookie, undefined);
  assert.equal(headers['x-kept'], 'yes');
  assert.equal(headers['x-forwarded-for'], '127.0.0.1', 'ours arrives all the same');
  assert.equal(headers.connection, 'keep-alive', 'the hop to the upstream has its own');
});

test('H18 naming Authorization in Connection takes it away, at the gateway too', async (t) => {
  const gateway = await startTestGateway(t);
  const { status } = await rawRequest(
    gateway.port,
    `GET /items HTTP/1.1\r\nHost: ${publicHost}\r\nAuthorization: ${await gateway.bearer()}\r\n` +
      'Connection: close, authorization\r\n\r\n',
  );
  assert.equal(status, 401);
  assert.deepEqual(gateway.received, []);
});

test('H18 the request id stays, though Connection names it', async (t) => {
  const gateway = await startTestGateway(t);
  const { text } = await rawRequest(
    gateway.port,
    `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\nConnection: close, X-Request-Id\r\nX-Request-Id: client-id-0001\r\n\r\n`,
  );
  assert.match(text, /^X-Request-Id: client-id-0001\r$/im);
  assert.equal(gateway.received[0]?.headers['x-request-id'], 'client-id-0001');
  await until(() => gateway.log.some((line) => line.includes('"requestId":"client-id-0001"')), 1_000);
});

test('H18 naming traceparent in Connection takes the trace neither from the log nor from the upstream', async (t) => {
  const gateway = await startTestGateway(t);
  const traceparent = `00-${'c'.repeat(32)}-${'d'.repeat(16)}-01`;
  await rawRequest(
    gateway.port,
    `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\nConnection: close, traceparent\r\ntraceparent: ${traceparent}\r\n\r\n`,
  );
  assert.equal(gateway.received[0]?.headers.traceparent, traceparent);
  await until(() => gateway.log.some((line) => line.includes(`"traceId":"${'c'.repeat(32)}"`)), 1_000);
});

test('the upstream gets one valid traceparent, whatever the client sends', async (t) => {
  const gateway = await startTestGateway(t);
  const valid = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  await gateway.send('/token', { headers: { traceparent: valid, tracestate: 'congo=t61' } });
  await gateway.send('/token', { headers: { traceparent: [valid, valid], tracestate: 'congo=t61' } });
  await gateway.send('/token', { headers: { traceparent: 'x', tracestate: 'congo=t61' } });
  await gateway.send('/token');
  const [kept, ...made] = gateway.received.map(({ headers, rawHeaders }) => {
    assert.equal(rawHeaders.filter((name) => name.toLowerCase() === 'traceparent').length, 1);
    return headers;
  });
  assert.deepEqual([kept?.traceparent, kept?.tracestate], [valid, 'congo=t61']);
  assert.equal(made.length, 3);
  for (const { traceparent, tracestate } of made) {
    assert.match(String(traceparent), /^00-(?!a{32})[\da-f]{32}-[\da-f]{16}-00$/);
    assert.equal(tracestate, undefined);
  }
});

test('a fault of the upstream is logged with its trace', async (t) => {
  const gateway = await startTestGateway(t, { upstreamUrl: 'http://127.0.0.1:1' });
  await gateway.send('/token', { headers: { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` } });
  const traced = /"traceId":"a{32}".*"upstream failed"/;
  await until(() => gateway.log.some((line) => traced.test(line)), 1_000);
});

test('H18 naming a framing header in Connection is 400', async (t) => {
  const gateway = await startTestGateway(t);
  for (const name of ['content-length', 'transfer-encoding', 'host']) {
    const { status } = await rawRequest(
      gateway.port,
      `POST /token HTTP/1.1\r\nHost: ${publicHost}\r\nConnection: close, ${name}\r\nContent-Length: 2\r\n\r\nhi`,
    );
    assert.equal(status, 400, name);
  }
  assert.deepEqual(gateway.received, []);
});

test('H19 hop-by-hop headers stay on their hop', async (t) => {
  const gateway = await startTestGateway(t);
  const names = [
    'TE',
    'Keep-Alive',
    'Proxy-Connection',
    'Proxy-Authorization',
    'Proxy-Authenticate',
    'HTTP2-Settings',
  ];
  const { status } = await rawRequest(
    gateway.port,
    `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\n${names.map((name) => `${name}: hop\r\n`).join('')}Connection: close\r\n\r\n`,
  );
  assert.equal(status, 200);
  const { headers, rawHeaders } = gateway.received[0] ?? assert.fail();
  assert.ok(!rawHeaders.includes('hop'));
  assert.notEqual(headers.host, publicHost, 'an upstream has a name of its own');
});

test('a Trailer header kills nobody and goes no further; the gateway still answers after it', async (t) => {
  const gateway = await startTestGateway(t);
  for (const body of ['\r\n', 'Content-Length: 2\r\n\r\nhi', 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n']) {
    const { status } = await rawRequest(
      gateway.port,
      `POST /token HTTP/1.1\r\nHost: ${publicHost}\r\nTrailer: foo\r\nConnection: close\r\n${body}`,
    );
    assert.equal(status, 200);
    assert.equal(gateway.received.at(-1)?.headers.trailer, undefined);
  }
  const get = `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\nTrailer: foo\r\nConnection: close\r\n\r\n`;
  assert.equal((await rawRequest(gateway.port, get)).status, 200);
  assert.equal((await gateway.send('/health/live')).status, 200);
});

test('H07 trailers never become headers of the upstream request', async (t) => {
  const gateway = await startTestGateway(t);
  const { status } = await rawRequest(
    gateway.port,
    `POST /items HTTP/1.1\r\nHost: ${publicHost}\r\nAuthorization: ${await gateway.bearer()}\r\nConnection: close\r\n` +
      'Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nAuthorization: Bearer evil\r\nX-User-Id: evil\r\n\r\n',
  );
  assert.equal(status, 200);
  const { rawHeaders, trailers, body } = gateway.received[0] ?? assert.fail();
  assert.doesNotMatch(rawHeaders.join('\n'), /evil/);
  assert.deepEqual(trailers, {});
  assert.equal(body, 'hi');
});

test('H21 Expect: 100-continue works once, any other expectation is 417', async (t) => {
  const gateway = await startTestGateway(t);
  const { text } = await rawRequest(
    gateway.port,
    `POST /token HTTP/1.1\r\nHost: ${publicHost}\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi`,
  );
  assert.equal(text.match(/HTTP\/1\.1 100 Continue/g)?.length, 1);
  assert.equal(text.match(/HTTP\/1\.1 200 OK/g)?.length, 1);
  assert.equal(gateway.received[0]?.headers.expect, undefined);
  const odd = await gateway.send('/token', { method: 'POST', headers: { expect: 'x' }, body: 'hi' });
  assert.equal(odd.status, 417);
  assert.equal(odd.json.status, 417);
  assert.equal(gateway.received.length, 1);
});

test('H21 H24 a body behind another request is asked for when that one is answered, never in the middle of an answer', async (t) => {
  const gateway = await startTestGateway(t, {
    answer: (req, res) => {
      req.resume();
      // In pieces, and that of the second before the first is answered.
      const [path, delayMs] = req.url === '/token' ? ['/token', 400] : ['/par', 100];
      res.setHeader('Content-Length', path.length).write(path.slice(0, 2));
      setTimeout(() => res.end(path.slice(2)), delayMs);
    },
  });
  const first = `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\n\r\n`;
  const waiting = `POST /par HTTP/1.1\r\nHost: ${publicHost}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n`;
  const { text } = await rawRequest(gateway.port, `${first}${waiting}a=b`, { timeoutMs: 1_000 });
  assert.match(text, /\r\n\r\n\/tokenHTTP\/1\.1 200 OK\r\n(?:.+\r\n)+\r\n\/par$/);

  const socket = openSocket(t, gateway.port);
  socket.write(first + waiting);
  await socket.hears(/\r\n\r\n\/tokenHTTP\/1\.1 100 Continue\r\n\r\n$/);
  socket.write('a=b');
  await socket.hears(/^HTTP\/1\.1 200 OK\r\n(?:.+\r\n)+\r\n\/par$/);
});
