import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createAuthenticate, createKeySet, createMemoryProofIds } from '@gatehouse/auth-middleware';
import { createMemoryDenylist } from '@gatehouse/denylist';
import { createTestIssuer, listenApp } from '@gatehouse/test-kit';
import express from 'express';
import { z } from 'zod';
import {
  createHealth,
  createLogger,
  createMetrics,
  createRouter,
  createServiceApp,
  problemHandler,
  route,
  TimestampSchema,
} from '../src/index.ts';

const issuer = await createTestIssuer();
const denylist = createMemoryDenylist();
await denylist.markComplete();
const keySet = createKeySet({ jwksUri: issuer.jwksUri });
const logger = createLogger({ name: 'test', level: 'silent' });

const ThingSchema = z.object({
  name: z.string(),
  madeAt: TimestampSchema,
  parts: z.array(z.object({ id: z.int() })),
});
const routes = [
  route('get', '/open', {
    public: true,
    summary: 'For everyone',
    responses: { 200: z.object({ open: z.boolean() }) },
    handler: async () => ({ status: 200, body: { open: true } }),
  }),
  route('get', '/things/{id}', {
    scope: 'things:read',
    summary: 'Reads a thing',
    query: z.strictObject({ size: z.coerce.number().int().max(9).default(1) }),
    responses: { 200: ThingSchema },
    handler: async ({ query }) => {
      const row = {
        name: `size ${query.size}`,
        secret: 'hash',
        madeAt: new Date(0),
        parts: [{ id: 1, cost: 2 }],
      };
      return { status: 200, body: row };
    },
  }),
  route('post', '/things', {
    scope: 'things:write',
    summary: 'Makes a thing',
    body: z.strictObject({ 'a/b~c': z.array(z.strictObject({ size: z.int() })) }),
    responses: { 201: z.object({ by: z.string() }) },
    versioned: true,
    handler: async ({ caller }) => ({
      status: 201,
      body: { by: caller.subject, version: 7 },
      headers: { Location: '/things/1' },
    }),
  }),
  route('delete', '/things', {
    scope: 'things:write',
    role: 'admin',
    summary: 'Forgets every thing',
    responses: { 204: z.undefined() },
    handler: async () => ({ status: 204, body: undefined }),
  }),
  route('get', '/broken', {
    public: true,
    summary: 'Answers what it did not declare',
    query: z.strictObject({ how: z.enum(['status', 'shape', 'throw']) }),
    responses: { 200: z.object({ size: z.int() }) },
    handler: async ({ query }) => {
      if (query.how === 'throw') throw new Error('secret of the inside');
      return (
        query.how === 'status'
          ? { status: 202, body: { size: 1 } }
          : { status: 200, body: { size: 'secret' } }
      ) as never;
    },
  }),
];

const authenticate = createAuthenticate({
  issuer: issuer.issuer,
  audiences: [issuer.audience],
  keySet,
  denylist,
  dpop: { origin: issuer.issuer, proofIds: createMemoryProofIds() },
});
const server = await listenApp(
  createServiceApp({
    name: 'test',
    description: 'A service of this test',
    audience: 'urn:gatehouse:test',
    issuer: issuer.issuer,
    explained: true,
    routes,
    authenticate,
    health: createHealth({}, logger),
    logger,
    metrics: createMetrics('test'),
  }),
);
after(async () => {
  await server.close();
  keySet.close();
  await denylist.close();
  await issuer.close();
});

const thingPath = '/things/a11ce000-0000-4000-8000-000000000001';

async function call(
  method: string,
  path: string,
  claims?: Record<string, unknown>,
  body?: string,
  type = 'application/json',
) {
  const headers: Record<string, string> = claims
    ? { Authorization: `Bearer ${await issuer.sign(claims)}` }
    : {};
  if (body !== undefined) headers['Content-Type'] = type;
  const response = await fetch(server.url + path, { method, headers, body: body ?? null });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: text ? JSON.parse(text) : undefined,
  };
}

test('a public route needs no token, and looks at none', async () => {
  assert.deepEqual((await call('GET', '/open')).json, { open: true });
  const response = await fetch(`${server.url}/open`, { headers: { Authorization: 'Bearer x' } });
  assert.equal(response.status, 200);
});

test('a guarded route needs a token with its scope, whatever else is wrong with the request', async () => {
  assert.equal((await call('POST', '/things', undefined, '{')).status, 401);
  const refused = await call('POST', '/things', { scope: 'things:read' }, '{');
  assert.equal(refused.status, 403);
  assert.match(refused.headers.get('www-authenticate') ?? '', /scope="things:write"/);
  assert.equal((await call('GET', `/things/no-id?x=1`)).status, 401);
});

test('a route with a role needs the role besides the scope', async () => {
  assert.equal((await call('DELETE', '/things', { scope: 'things:write' })).status, 403);
  assert.equal((await call('DELETE', '/things', { scope: 'things:read', roles: ['admin'] })).status, 403);
  const done = await call('DELETE', '/things', { scope: 'things:write', roles: ['admin'] });
  assert.equal(done.status, 204);
  assert.equal(done.text, '');
});

test('nobody passes an internal route of a router that is told no audience', async (t) => {
  const inside = route('get', '/inside', {
    scope: 'things:read',
    internal: true,
    summary: 'For other services',
    responses: { 204: z.undefined() },
    handler: async () => ({ status: 204, body: undefined }),
  });
  const app = express().use(createRouter([inside], authenticate), problemHandler(logger));
  const { url, close } = await listenApp(app);
  t.after(close);
  const headers = { Authorization: `Bearer ${await issuer.sign({ scope: 'things:read' })}` };
  assert.equal((await fetch(`${url}/inside`, { headers })).status, 403);
});

test('an answer leaves as its schema describes it: a field that nobody declared stays, at any depth', async () => {
  const { status, json, headers } = await call('GET', `${thingPath}?size=3`, { scope: 'things:read' });
  assert.equal(status, 200);
  assert.deepEqual(json, { name: 'size 3', madeAt: '1970-01-01T00:00:00.000Z', parts: [{ id: 1 }] });
  assert.equal(headers.get('cache-control'), 'no-store');
});

test('an answer that is not as declared, or an error of the inside, is a 500 that tells nothing', async () => {
  for (const how of ['status', 'shape', 'throw']) {
    const { status, text, json } = await call('GET', `/broken?how=${how}`);
    assert.equal(status, 500);
    assert.doesNotMatch(text, /secret|size/);
    assert.deepEqual(Object.keys(json), ['type', 'title', 'status', 'instance', 'requestId']);
  }
});

test('the headers of an answer are sent, and its version as ETag', async () => {
  const body = JSON.stringify({ 'a/b~c': [{ size: 1 }] });
  const { status, headers, json } = await call('POST', '/things', { scope: 'things:write', sub: 'me' }, body);
  assert.equal(status, 201);
  assert.equal(headers.get('location'), '/things/1');
  assert.equal(headers.get('etag'), '"7"');
  assert.deepEqual(json, { by: 'me' });
});

test('422 points at every fault, in the path, the query and the body', async () => {
  const read = await call('GET', '/things/no-id?size=10&x=1', { scope: 'things:read' });
  assert.equal(read.status, 422);
  const pointers = (answer: typeof read) =>
    answer.json.errors.map((error: { pointer: string }) => error.pointer).sort();
  assert.deepEqual(pointers(read), ['/path/id', '/query/size', '/query/x']);

  const body = JSON.stringify({ 'a/b~c': [{ size: 1 }, { size: '2' }, { size: 3, x: 1 }], y: 1 });
  const write = await call('POST', '/things', { scope: 'things:write' }, body);
  assert.equal(write.status, 422);
  assert.deepEqual(pointers(write), ['#/a~1b~0c/1/size', '#/a~1b~0c/2/x', '#/y']);
});

test('a route that declares no query takes none', async () => {
  assert.equal((await call('GET', '/open?x=1')).status, 422);
});

test('H33 a body that is not JSON in UTF-8 is 415, and one that is malformed 400', async () => {
  const as = { scope: 'things:write' };
  for (const type of [
    'text/plain',
    'application/json; charset=utf-7',
    'application/json;charset="latin1"',
    'text/json',
  ])
    assert.equal((await call('POST', '/things', as, '{}', type)).status, 415, type);
  assert.equal((await call('POST', '/things', as)).status, 415);
  const malformed = await call('POST', '/things', as, '{"a":hunter2');
  assert.deepEqual([malformed.status, malformed.json.detail], [400, 'The body is not valid JSON']);
  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
  ])
    assert.equal((await call('POST', '/things', as, '{}', type)).status, 422, type);
});

test('405 names the methods of a known path, to anyone; an unknown one is 404', async () => {
  for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    const { status, headers } = await call(method, '/open');
    assert.equal(status, 405);
    assert.equal(headers.get('allow'), 'GET, HEAD');
  }
  assert.equal((await call('GET', '/things')).headers.get('allow'), 'POST, DELETE');
  for (const path of ['/', '/Open', '/open/', '/thing', '/Health/live', '/openAPI.json'])
    assert.equal((await call('GET', path)).status, 404, path);
});

test('HEAD is a GET without a body, behind the same guard', async () => {
  assert.equal((await call('HEAD', '/open')).status, 200);
  assert.equal((await call('HEAD', thingPath)).status, 401);
});

test('the OpenAPI document is served to anyone and describes exactly the declared routes', async () => {
  const { status, json } = await call('GET', '/openapi.json');
  assert.equal(status, 200);
  assert.equal(json.openapi, '3.1.0');
  assert.deepEqual(Object.keys(json.paths), ['/open', '/things/{id}', '/things', '/broken']);
  assert.deepEqual(Object.keys(json.paths['/things']), ['post', 'delete']);
});
