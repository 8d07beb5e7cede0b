import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AuthError } from '@gatehouse/auth-middleware';
import { type ListeningApp, listenApp, rawRequest } from '@gatehouse/test-kit';
import express from 'express';
import {
  createLogger,
  createMetrics,
  notFound,
  Problem,
  problemHandler,
  requestContext,
} from '../src/index.ts';

let listening: ListeningApp;
let url: string;
const lines: string[] = [];

before(async () => {
  const logger = createLogger({ name: 'test', level: 'info' }, { write: (line) => lines.push(line) });
  const app = express();
  app.use(requestContext({ logger, metrics: createMetrics('test') }));
  app.get('/problem', () => {
    throw new Problem(409, 'Already there', { headers: { 'Retry-After': '1' } });
  });
  app.get('/auth', () => {
    throw new AuthError('invalid_token', 'The access token has expired');
  });
  app.get('/bug', async () => {
    throw new Error('password of the database is hunter2');
  });
  app.get('/refused', () => {
    throw Object.assign(new Error('connect ECONNREFUSED 10.1.2.3:5432'), { code: 'ECONNREFUSED' });
  });
  app.get('/late', (_req, res) => {
    res.write('half');
    throw new Error('after the headers');
  });
  app.get('/decode/:id', (_req, res) => void res.end());
  app.use(notFound);
  app.use(problemHandler(logger));
  listening = await listenApp(app);
  url = listening.url;
});

after(() => listening.close());

async function get(path: string) {
  const res = await fetch(url + path, { headers: { 'X-Request-Id': 'request-0001' } });
  assert.equal(res.headers.get('content-type'), 'application/problem+json; charset=utf-8');
  return { status: res.status, headers: res.headers, body: (await res.json()) as Record<string, unknown> };
}

test('a problem carries status, title, detail, instance, request id and its headers', async () => {
  const { status, headers, body } = await get('/problem?secret=1');
  assert.equal(status, 409);
  assert.equal(headers.get('retry-after'), '1');
  assert.equal(headers.get('cache-control'), 'no-store');
  assert.deepEqual(body, {
    type: 'about:blank',
    title: 'Conflict',
    status: 409,
    detail: 'Already there',
    instance: '/problem',
    requestId: 'request-0001',
  });
});

test('the challenge of the guard reaches the caller', async () => {
  const { status, headers, body } = await get('/auth');
  assert.equal(status, 401);
  assert.match(String(headers.get('www-authenticate')), /^Bearer .*error="invalid_token"/);
  assert.equal(body.detail, 'The access token has expired');
});

test('an unexpected error is a 500 that says nothing internal, and is logged', async () => {
  const { status, body } = await get('/bug');
  assert.equal(status, 500);
  assert.equal('detail' in body, false);
  assert(lines.some((line) => line.includes('request failed') && line.includes('request-0001')));
});

test('a database that cannot be reached is a 503 with Retry-After and no address', async () => {
  const { status, headers, body } = await get('/refused');
  assert.equal(status, 503);
  assert.equal(headers.get('retry-after'), '2');
  assert.doesNotMatch(JSON.stringify(body), /10\.1\.2\.3|5432/);
});

test('an error after the headers resets the connection instead of ending the body as if it were whole', async () => {
  await assert.rejects(fetch(`${url}/late`).then((res) => res.text()));
});

test('a path that does not decode is a 400, an unknown one a 404', async () => {
  assert.equal((await get('/decode/%E0%A4%A')).status, 400);
  assert.equal((await get('/nowhere')).status, 404);
});

test('a request id that is not well formed is replaced', async () => {
  for (const given of ['short', 'a'.repeat(65), 'with space in it', 'sneaky"quote"']) {
    const res = await fetch(`${url}/nowhere`, { headers: { 'X-Request-Id': given } });
    const { requestId } = (await res.json()) as { requestId: string };
    assert.notEqual(requestId, given);
    assert.match(requestId, /^[\w-]{36}$/);
  }
});

test('the log tells why the guard refused, and of nothing that was refused for its input, which may be quoted', async () => {
  for (const path of ['/problem', '/auth', '/nowhere']) await get(path);
  const reasons = lines.map((line) => JSON.parse(line).reason);
  assert.ok(reasons.includes('The access token has expired'));
  assert.ok(!reasons.includes('Already there'), 'what is refused for its input may quote it');
});

test('query strings never reach the log', async () => {
  await get('/nowhere?access_token=hunter3');
  assert(!lines.some((line) => line.includes('hunter3')));
});

test('H08 a target in absolute form is not echoed', async () => {
  const { port } = listening;
  const { text } = await rawRequest(
    port,
    'GET http://evil.example/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  );
  assert.match(text, /^HTTP\/1\.1 404/);
  assert.doesNotMatch(text, /evil/);
});
