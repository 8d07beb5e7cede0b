import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { createOpenApi, route } from '@gatehouse/service-kit/core';
import { listenApp } from '@gatehouse/test-kit';
import { z } from 'zod';
import { rememberDocument } from '../src/docs/service-document.ts';
import { startTestGateway, type TestGateway, until } from './start-gateway.ts';

// biome-ignore lint/suspicious/noExplicitAny: a document is looked into at many depths
type Json = any;
type Listener = (req: IncomingMessage, res: ServerResponse) => unknown;

const inside = 'http://inside.example:9000';

/** What a service with these routes says of itself, with more about the inside than it should tell. */
function documentOf(name: string, routes: Parameters<typeof createOpenApi>[0]): Json {
  const document: Json = createOpenApi(routes, { title: name, description: `About ${name}`, issuer: inside });
  document.externalDocs = { url: inside };
  return document;
}

const handler = async () => {
  throw new Error('never called');
};

/** A route that answers `schema`; its scope follows from the path. */
function reads(path: string, schema: z.ZodType, more: { internal?: true } = {}) {
  const scope = `${path.split('/')[1]}:read`;
  return route('get', path, {
    scope,
    summary: 'Reads',
    responses: { 200: schema },
    handler,
    ...more,
  });
}

const thing = (name: string, shape: z.ZodRawShape) => z.object(shape).meta({ id: name });

const documents: Record<string, Json> = {
  users: documentOf('users', [reads('/users/me', thing('User', { name: z.string() }))]),
  items: documentOf('items', [
    reads('/items', z.object({ items: z.array(thing('Item', { stock: z.int() })) })),
    reads('/users/me/items', z.array(z.string())),
    reads('/items/{id}/reservations', thing('Reservation', { id: z.uuid() }), { internal: true }),
  ]),
  orders: documentOf('orders', [reads('/orders', thing('Order', { total: z.int() }))]),
};

/** Answers as a service does that has this document. */
const serves = (document: unknown): Listener => {
  const text = JSON.stringify(document);
  return (_req, res) => res.setHeader('Content-Type', 'application/json').end(text);
};

/** A gateway whose services have documents, each as `answers` say, or its own. */
function startDocumented(t: TestContext, answers: Record<string, Listener> = {}): Promise<TestGateway> {
  return startTestGateway(t, {
    answer: (req, res, upstream) => {
      assert.equal(req.url, '/openapi.json');
      const answer = answers[upstream] ?? serves(documents[upstream] ?? documentOf(upstream, []));
      return answer(req, res);
    },
  });
}

async function read(gateway: TestGateway): Promise<Json> {
  const answer = await gateway.send('/openapi.json');
  assert.equal(answer.status, 200);
  return answer.json;
}

test('the operations of every service are in one document, which speaks of the public origin alone', async (t) => {
  const gateway = await startDocumented(t);
  const { status, headers, text, json } = await gateway.send('/openapi.json');
  const { openapi, paths, tags, servers, components, info } = json as Json;
  assert.deepEqual([status, openapi], [200, '3.1.0']);
  assert.equal(headers['content-type'], 'application/json; charset=utf-8');
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.deepEqual(Object.keys(paths).sort(), ['/items', '/orders', '/users/me', '/users/me/items']);
  assert.deepEqual(tags.map(({ name }: Json) => name).sort(), ['items', 'orders', 'users']);
  assert.deepEqual(servers, [{ url: gateway.issuer.issuer }]);
  const flow = components.securitySchemes.oauth2.flows.authorizationCode;
  assert.equal(flow.authorizationUrl, `${gateway.issuer.issuer}/authorize`);
  assert.equal(flow.tokenUrl, `${gateway.issuer.issuer}/token`);
  assert.deepEqual(flow.scopes, {
    'items:read': 'GET /items',
    'orders:read': 'GET /orders',
    'users:read': 'GET /users/me/items, GET /users/me',
  });
  assert.deepEqual(paths['/users/me'].get.security, [{ oauth2: ['users:read'] }]);
  assert.doesNotMatch(info.description, /missing/i);
  assert.ok(!text.includes('inside.example') && !text.includes('127.0.0.1'), text);
});

test('the document is compressed for whoever takes that, and not sent again to whoever has it', async (t) => {
  const gateway = await startDocumented(t);
  const ask = (headers: Record<string, string>) => gateway.send('/openapi.json', { headers });
  const plain = await ask({ 'Accept-Encoding': 'identity' });
  const compressed = await ask({ 'Accept-Encoding': 'gzip' });
  assert.equal(compressed.headers['content-encoding'], 'gzip');
  assert.ok(Number(compressed.headers['content-length']) < plain.text.length / 2);
  assert.notEqual(plain.headers.etag, compressed.headers.etag);
  assert.equal(plain.headers.vary, 'Accept-Encoding');
  assert.equal(plain.headers['cache-control'], 'no-cache');
  const again = await ask({ 'Accept-Encoding': 'identity', 'If-None-Match': String(plain.headers.etag) });
  assert.deepEqual([again.status, again.text], [304, '']);
});

test('operations for other services are left out, with the schemas that they alone need', async (t) => {
  const { paths, components } = await read(await startDocumented(t));
  assert.equal(paths['/items/{id}/reservations'], undefined);
  assert.deepEqual(Object.keys(components.schemas).sort(), ['Item', 'Order', 'Problem', 'User']);
});

test('a path that the gateway does not forward to the service is left out', async (t) => {
  const routes = ['/users/me', '/items', '/items/x', '/usersx', '/other'].map((path) =>
    reads(path, z.string()),
  );
  const gateway = await startDocumented(t, { users: serves(documentOf('users', routes)) });
  const { paths } = await read(gateway);
  assert.deepEqual(Object.keys(paths).sort(), ['/items', '/orders', '/users/me', '/users/me/items']);
  assert.deepEqual(paths['/items'].get.tags, ['items']);
});

test('every operation tells what the gateway itself can refuse it with', async (t) => {
  const { paths, components } = await read(await startDocumented(t));
  for (const path of Object.keys(paths)) {
    const { responses } = paths[path].get;
    assert.deepEqual(Object.keys(responses), ['200', '400', '401', '403', '422', '502', '503', '504'], path);
    assert.deepEqual(responses[504].content, {
      'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
    });
    assert.equal(responses[504].headers['Retry-After'].required, true);
  }
  assert.ok(components.schemas.Problem.properties.requestId);
});

test('schemas of one name are one only where they say the same, down to what they refer to', async (t) => {
  const page = (line: z.ZodRawShape) => thing('Page', { lines: z.array(thing('Line', line)) });
  const gateway = await startDocumented(t, {
    users: serves(documentOf('users', [reads('/users', page({ a: z.string() }))])),
    items: serves(documentOf('items', [reads('/items', page({ a: z.string() }))])),
    orders: serves(documentOf('orders', [reads('/orders', page({ b: z.int() }))])),
  });
  const { paths, components } = await read(gateway);
  const { schemas } = components;
  assert.deepEqual(Object.keys(schemas).sort(), ['Line', 'Line.orders', 'Page', 'Page.orders', 'Problem']);
  const refOf = (path: string) => paths[path].get.responses[200].content['application/json'].schema.$ref;
  assert.equal(refOf('/users'), '#/components/schemas/Page');
  assert.equal(refOf('/items'), '#/components/schemas/Page');
  assert.equal(refOf('/orders'), '#/components/schemas/Page.orders');
  assert.equal(schemas['Page.orders'].properties.lines.items.$ref, '#/components/schemas/Line.orders');
  assert.deepEqual(Object.keys(schemas['Line.orders'].properties), ['b']);
  assert.deepEqual(Object.keys(schemas.Line.properties), ['a']);
});

const { orders } = documents;
const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
const faults: Record<string, Listener> = {
  'breaks off': (req) => req.socket.destroy(),
  'says nothing': () => {},
  'stops in the middle': (_req, res) => void res.writeHead(200, { 'Content-Length': 9_999 }).write('{'),
  'fails with its document': (_req, res) => res.writeHead(500).end(JSON.stringify(orders)),
  'leads elsewhere': (_req, res) => res.writeHead(302, { Location: '/other' }).end(),
  'says too much': (_req, res) => res.end(JSON.stringify({ ...orders, padding: 'x'.repeat(300_000) })),
  'says no JSON': (_req, res) => res.end('<h1>Hello</h1>'),
  'says null': serves(null),
  'says nothing of paths': serves({ openapi: '3.1.0' }),
  'has another version': serves({ ...orders, openapi: '3.0.3' }),
  'has a path without a slash': serves({ ...orders, paths: { orders: {} } }),
  'has an operation without responses': serves({ ...orders, paths: { '/orders': { get: {} } } }),
  'refers to what is not there': serves({ ...orders, components: {} }),
  'refers to another document': (_req, res) =>
    res.end(JSON.stringify(orders).replaceAll('#/components/schemas/Order', `${inside}/schema`)),
  'is deep': (_req, res) => res.end(JSON.stringify(orders).replace('"Order":{', `"X":${nested(100)},$&`)),
  'is bottomless': (_req, res) =>
    res.end(JSON.stringify(orders).replace('"Order":{', `"X":${nested(20_000)},$&`)),
};

for (const [fault, answer] of Object.entries(faults)) {
  test(`a service that ${fault} is missing from the document, which says so, and the others are in it`, async (t) => {
    const gateway = await startDocumented(t, { orders: answer });
    const { paths, info, components } = await read(gateway);
    assert.deepEqual(Object.keys(paths).sort(), ['/items', '/users/me', '/users/me/items']);
    assert.match(info.description, /Missing.*: orders\./);
    assert.equal(components.securitySchemes.oauth2.flows.authorizationCode.scopes['orders:read'], undefined);
    assert.ok(gateway.log.some((line) => line.includes('OpenAPI') && line.includes('"upstream":"orders"')));
  });
}

test('without any service there is a document still', async (t) => {
  const gateway = await startTestGateway(t, { upstreamUrl: 'http://127.0.0.1:1' });
  const { paths, info } = await read(gateway);
  assert.deepEqual(paths, {});
  for (const service of Object.keys(documents))
    assert.match(info.description, new RegExp(`Missing.*\\b${service}\\b`));
});

test('a service is asked again only after a while, a failed one sooner, and its last document stays while it is away', async (t) => {
  let later = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + later);
  let asked = 0;
  let answer = serves(orders);
  const gateway = await startDocumented(t, {
    orders(req, res) {
      asked += 1;
      return answer(req, res);
    },
  });
  const hasOrders = async () => '/orders' in (await read(gateway)).paths;
  const settled = async (count: number) => {
    await until(() => asked === count, 5_000);
    // The next one finds no request in flight, whose answer it would share.
    await until(() => gateway.log.filter((line) => line.includes('OpenAPI')).length === faulty, 5_000);
  };
  let faulty = 0;
  for (let round = 0; round < 3; round += 1) assert.ok(await hasOrders());
  assert.equal(asked, 1);

  answer = (req) => req.socket.destroy();
  later += 10_000;
  assert.ok(await hasOrders());
  faulty = 1;
  await settled(2);
  assert.ok(await hasOrders());
  assert.equal(asked, 2);
  later += 2_000;
  assert.ok(await hasOrders());
  faulty = 2;
  await settled(3);

  answer = serves(documentOf('orders', [reads('/orders/{id}', z.string())]));
  later += 2_000;
  assert.ok(await hasOrders(), 'what is known is given at once');
  await settled(4);
  while (await hasOrders());
  assert.equal(asked, 4);
});

test('many who ask at once make one request to each service', async (t) => {
  const asked: string[] = [];
  const gateway = await startDocumented(
    t,
    Object.fromEntries(
      Object.entries(documents).map(([name, document]) => [
        name,
        (req: IncomingMessage, res: ServerResponse) => {
          asked.push(name);
          setTimeout(() => serves(document)(req, res), 50);
        },
      ]),
    ),
  );
  const answers = await Promise.all(Array.from({ length: 50 }, () => gateway.send('/openapi.json')));
  assert.deepEqual([...new Set(answers.map(({ text }) => text))].length, 1);
  assert.deepEqual(asked.sort(), ['items', 'orders', 'users']);
});

test('a request for a document ends when the gateway stops, and that is no fault', async (t) => {
  // No deadline ends it before.
  t.mock.method(AbortSignal, 'timeout', () => new AbortController().signal);
  const service = await listenApp(() => {});
  t.after(() => service.close());
  const onFault = t.mock.fn();
  const document = rememberDocument(service.url, onFault);
  const current = document.current();
  await once(service.server, 'request');
  document.close();
  assert.equal(await current, undefined);
  assert.equal(await document.current(), undefined);
  assert.equal(onFault.mock.callCount(), 0);
});
