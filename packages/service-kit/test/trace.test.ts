import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type ListeningApp, listenApp, rawRequest } from '@gatehouse/test-kit';
import express from 'express';
import {
  createLogger,
  createMetrics,
  listen,
  Problem,
  problemHandler,
  requestContext,
} from '../src/index.ts';
import { useTracing } from '../src/trace.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const valid = `00-${traceId}-b7ad6b7169203331-01`;
const made = /^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-00$/;

let listening: ListeningApp;
const lines: string[] = [];
const logger = createLogger({ name: 'test', level: 'info' }, { write: (line) => lines.push(line) });
const app = express();

before(async () => {
  app.use(requestContext({ logger, metrics: createMetrics('test') }));
  app.get('/headers', (req, res) => {
    const { traceparent, tracestate } = req.headers;
    res.json({ traceparent, tracestate });
  });
  app.get('/problem', () => {
    throw new Problem(503, undefined, { cause: new Error('away') });
  });
  app.use(problemHandler(logger));
  listening = await listenApp(app);
});

after(() => listening.close());

/** The trace headers as the app sees them when the client sends these lines. */
async function send(...headers: string[]): Promise<{ traceparent: string; tracestate?: string }> {
  const head = ['GET /headers HTTP/1.1', 'Host: x', 'Connection: close', ...headers];
  const { text } = await rawRequest(listening.port, `${head.join('\r\n')}\r\n\r\n`);
  return JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1));
}

test('a valid traceparent is kept, with its tracestate', async () => {
  const sent = await send(
    `traceparent: ${valid}`,
    'tracestate: rojo=00f067aa0ba902b7',
    'tracestate: congo=t61',
  );
  assert.deepEqual(sent, { traceparent: valid, tracestate: 'rojo=00f067aa0ba902b7, congo=t61' });
});

test('of a version to come the known fields are kept', async () => {
  const known = valid.slice(3);
  assert.equal((await send(`traceparent: cc-${known}`)).traceparent, valid);
  assert.equal((await send(`traceparent: 01-${known}-what-the-future-brings`)).traceparent, valid);
});

const refused = {
  empty: '',
  'another text': 'hello',
  'in capitals': valid.toUpperCase(),
  'of version ff': `ff${valid.slice(2)}`,
  'with the trace id zero': `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
  'with the parent id zero': `00-${traceId}-${'0'.repeat(16)}-01`,
  'with a short trace id': `00-${traceId.slice(1)}-b7ad6b7169203331-01`,
  'with a field too many': `${valid}-00`,
  'with a text behind it': `${valid} "},{"level":"fatal`,
  'of 8,000 characters': valid.padEnd(8_000, '0'),
  'of a later version without a hyphen': `01${valid.slice(2)}0`,
};
for (const [which, traceparent] of Object.entries(refused)) {
  test(`a traceparent ${which} is replaced and its tracestate dropped`, async () => {
    const sent = await send(`traceparent: ${traceparent}`, 'tracestate: congo=t61');
    assert.match(sent.traceparent, made);
    assert.ok(!sent.traceparent.includes(traceId));
    assert.equal(sent.tracestate, undefined);
  });
}

test('of two traceparents neither counts', async () => {
  const other = valid.replaceAll('b7', 'b8');
  for (const second of [valid, other]) {
    const sent = await send(`traceparent: ${valid}`, `traceparent: ${second}`);
    assert.match(sent.traceparent, made);
    assert.ok(!sent.traceparent.includes(traceId));
  }
});

test('without a traceparent each request is a trace of its own', async () => {
  const [first, second] = [await send(), await send()];
  assert.match(first.traceparent, made);
  assert.notEqual(first.traceparent.slice(3, 35), second.traceparent.slice(3, 35));
});

test('a tracestate of more than 512 characters or 32 members is dropped', async () => {
  const members = (count: number) => Array.from({ length: count }, (_, i) => `v${i}=1`).join(',');
  assert.equal((await send(`traceparent: ${valid}`, `tracestate: ${members(32)}`)).tracestate, members(32));
  for (const tracestate of [members(33), `a=${'1'.repeat(511)}`]) {
    const sent = await send(`traceparent: ${valid}`, `tracestate: ${tracestate}`);
    assert.deepEqual(sent, { traceparent: valid });
  }
});

test('the line of a request and the line of its fault name the trace', async () => {
  lines.length = 0;
  await fetch(`${listening.url}/problem`, { headers: { traceparent: valid } });
  // The line of a request is written when the answer has left, which the client may hear before.
  while (lines.length < 2) await delay(5);
  const logged = lines.map((line) => JSON.parse(line));
  assert.deepEqual(
    logged.map(({ msg, traceId: id }) => [msg, id]),
    [
      ['request could not be served', traceId],
      ['request', traceId],
    ],
  );
});

test('the span of a request says whether it came by HTTPS', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-trace-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const files = { certificate: join(folder, 'certificate.pem'), key: join(folder, 'key.pem') };
  const selfSigned = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost';
  const out = ['-out', files.certificate, '-keyout', files.key];
  execFileSync('openssl', [...selfSigned.split(' '), ...out], { stdio: 'ignore' });
  const secure = await listen(app, { host: '127.0.0.1', port: 0, tls: { files, logger } });
  t.after(() => secure.close());
  const schemes: unknown[] = [];
  useTracing({
    openServerSpan(_service, _name, attributes) {
      schemes.push(attributes['url.scheme']);
      return { traceparent: valid, run: (work) => work(), end: () => {} };
    },
    openClientSpan: () => undefined,
  });
  t.after(() => useTracing(undefined));

  await send();
  const asked = get({ port: secure.port, path: '/headers', rejectUnauthorized: false, agent: false });
  const [answer] = await once(asked, 'response');
  answer.resume();
  assert.deepEqual(schemes, ['http', 'https']);
});
