import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { createOpenApi, createPageSchema, PageQuerySchema, route, TimestampSchema } from '../src/index.ts';

// biome-ignore lint/suspicious/noExplicitAny: a document is looked into at many depths
type Json = any;

const ThingSchema = z.object({ id: z.uuid(), madeAt: TimestampSchema }).meta({ id: 'Thing' });
const unused = async () => {
  throw new Error('never called');
};
const { paths, components, servers } = createOpenApi(
  [
    route('get', '/things', {
      scope: 'things:read',
      summary: 'Lists things',
      query: PageQuerySchema,
      responses: { 200: createPageSchema(ThingSchema) },
      handler: unused,
    }),
    route('post', '/things', {
      scope: 'things:write',
      role: 'admin',
      user: true,
      summary: 'Makes a thing',
      body: z.strictObject({ name: z.string().max(9) }),
      responses: { 201: ThingSchema },
      handler: unused,
    }),
    route('get', '/things/{id}', {
      scope: 'things:read',
      summary: 'Tells of a thing',
      versioned: true,
      responses: { 200: ThingSchema },
      handler: unused,
    }),
    route('delete', '/things/{id}', {
      scope: 'things:write',
      summary: 'Forgets a thing',
      responses: { 204: z.undefined() },
      conflicts: true,
      handler: unused,
    }),
    route('get', '/about', {
      public: true,
      summary: 'For everyone',
      responses: { 200: z.object({ name: z.string() }) },
      handler: unused,
    }),
  ],
  { title: 'test', description: 'A service of this test', issuer: 'http://localhost:8080' },
) as Json;

test('every guarded operation names its scope, and the security scheme names all of them', () => {
  assert.deepEqual(paths['/things'].get.security, [{ oauth2: ['things:read'] }]);
  assert.deepEqual(paths['/things'].post.security, [{ oauth2: ['things:write'] }]);
  assert.deepEqual(paths['/things/{id}'].delete.security, [{ oauth2: ['things:write'] }]);
  assert.deepEqual(paths['/about'].get.security, []);
  const flow = components.securitySchemes.oauth2.flows.authorizationCode;
  assert.deepEqual(Object.keys(flow.scopes), ['things:read', 'things:write']);
  assert.equal(flow.tokenUrl, 'http://localhost:8080/token');
  assert.deepEqual(servers, [{ url: 'http://localhost:8080' }]);
});

test('an operation tells which other demands it has of the caller', () => {
  assert.match(paths['/things'].post.description, /role `admin`/);
  assert.match(paths['/things'].post.description, /user/);
  assert.equal(paths['/things'].get.description, undefined);
});

test('every operation lists its refusals as problem details', () => {
  const statuses = (path: string, method: string) => Object.keys(paths[path][method].responses);
  assert.deepEqual(statuses('/things', 'get'), ['200', '400', '401', '403', '422', '503']);
  assert.deepEqual(statuses('/things', 'post'), ['201', '400', '401', '403', '413', '415', '422', '503']);
  assert.deepEqual(statuses('/things/{id}', 'delete'), [
    '204',
    '400',
    '401',
    '403',
    '404',
    '409',
    '422',
    '503',
  ]);
  assert.deepEqual(statuses('/about', 'get'), ['200', '400', '422', '503']);
  const { content } = paths['/things'].get.responses['403'];
  assert.deepEqual(content, {
    'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
  });
});

test('what has a version may be 304, and nothing else', () => {
  const { 304: notModified } = paths['/things/{id}'].get.responses;
  assert.deepEqual([Object.keys(notModified.headers), notModified.content], [['ETag'], undefined]);
  assert.equal(paths['/things'].get.responses[304], undefined);
});

test('inputs and outputs are described as they travel', () => {
  const parameters = paths['/things'].get.parameters;
  const limit = parameters.find(({ name }: Json) => name === 'limit');
  assert.equal(limit.in, 'query');
  assert.deepEqual(
    [limit.schema.type, limit.schema.minimum, limit.schema.maximum, limit.schema.default],
    ['integer', 1, 100, 20],
  );
  const cursor = parameters.find(({ name }: Json) => name === 'cursor');
  assert.deepEqual([cursor.schema.type, cursor.required], ['string', undefined]);
  const id = paths['/things/{id}'].delete.parameters[0];
  assert.deepEqual([id.name, id.in, id.required, id.schema.format], ['id', 'path', true, 'uuid']);
  const body = paths['/things'].post.requestBody;
  assert.equal(body.required, true);
  assert.equal(body.content['application/json'].schema.additionalProperties, false);
  const { properties } = components.schemas.Thing;
  assert.deepEqual([properties.madeAt.type, properties.madeAt.format], ['string', 'date-time']);
  assert.equal(paths['/things/{id}'].delete.responses['204'].content, undefined);
});

test('operation ids are unique', () => {
  const ids = Object.values<Json>(paths).flatMap((path) =>
    Object.values<Json>(path).map((operation: Json) => operation.operationId),
  );
  assert.deepEqual(ids, ['getThings', 'postThings', 'getThingsId', 'deleteThingsId', 'getAbout']);
});
