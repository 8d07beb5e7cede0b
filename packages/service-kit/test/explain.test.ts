import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { checksIn } from '@gatehouse/test-kit';
import { z } from 'zod';
import { Problem, route, type Service, ServiceConfigSchema } from '../src/index.ts';
import { createTestBench, type TestAnswer } from '../testing/index.ts';

const ownedId: string = randomUUID();
const owned = new Map([[ownedId, 'alice']]);

const things: Service = {
  name: 'things',
  description: 'A service of this test',
  audience: 'urn:gatehouse:things',
  config: ServiceConfigSchema,
  migrations: new URL('fixtures/migrations', import.meta.url),
  seed: async () => {},
  routes: () => [
    route('get', '/open', {
      public: true,
      summary: 'For everyone',
      responses: { 200: z.object({}) },
      handler: async () => ({ status: 200, body: {} }),
    }),
    route('get', '/things/{id}', {
      scope: 'things:read',
      owner: 'caller',
      user: true,
      summary: 'Reads a thing of the caller',
      responses: { 200: z.object({}) },
      handler: async ({ params, caller }) => {
        if (owned.get(params.id) !== caller.subject) throw new Problem(404, 'No such thing');
        return { status: 200, body: {} };
      },
    }),
    route('patch', '/things/{id}', {
      scope: 'things:write',
      owner: 'caller or admin',
      ifMatch: true,
      summary: 'Changes a thing',
      body: z.strictObject({ size: z.int(), name: z.string() }),
      responses: { 200: z.object({}) },
      handler: async ({ params, caller }) => {
        if (!owned.has(params.id)) throw new Problem(404, 'No such thing');
        if (owned.get(params.id) !== caller.subject) throw new Problem(403, 'This is for its owner');
        return { status: 200, body: {} };
      },
    }),
    route('get', '/broken', {
      scope: 'things:read',
      role: 'admin',
      internal: true,
      summary: 'Fails',
      responses: { 200: z.object({}) },
      handler: async () => {
        throw new Error('secret of the inside');
      },
    }),
  ],
};

const bench = await createTestBench();
after(() => bench.close());
const service = await bench.start(things, { EXPLAIN: 'true' });

const passed = ['things.authn: verified', 'things.denylist: live'];
const reader = { sub: 'alice', scope: 'things:read' };
const writer = { sub: 'alice', scope: 'things:write' };
const anyVersion = { 'If-Match': '*' };
const change = { size: 1, name: 'x' };

function assertTold({ status, headers }: TestAnswer, expected: number, ...checks: string[]): void {
  assert.equal(status, expected);
  assert.deepEqual(checksIn(headers.get('server-timing')), [...checks, 'things.total']);
}

const read = ['things.scope: things:read ok', 'things.user: ok', 'things.input: ok'];

test('an answer tells of the guard, the input, the handler and the owner, in the order of the walk', async () => {
  assertTold(
    await service.call('GET', `/things/${ownedId}`, { as: reader }),
    200,
    ...[...passed, ...read, 'things.handler: 200', 'things.owner: ok'],
  );
  assertTold(await service.call('GET', '/open'), 200, 'things.input: ok', 'things.handler: 200');
});

test("Z01 someone else's thing is told of as a free id is", async () => {
  for (const id of [ownedId, randomUUID()]) {
    const answer = await service.call('GET', `/things/${id}`, { as: { ...reader, sub: 'bob' } });
    const end = ['things.handler: 404', "things.owner: not found among the caller's"];
    assertTold(answer, 404, ...passed, ...read, ...end);
  }
});

test('of what is no secret, whose it is and whether it exists are told', async () => {
  const call = (id: string, sub: string) =>
    service.call('PATCH', `/things/${id}`, { as: { ...writer, sub }, json: change, headers: anyVersion });
  const told = async (id: string, sub: string) =>
    checksIn((await call(id, sub)).headers.get('server-timing')).slice(3, -1);
  assert.deepEqual(await told(ownedId, 'alice'), [
    'things.input: ok',
    'things.handler: 200',
    'things.owner: ok',
  ]);
  assert.deepEqual(await told(ownedId, 'bob'), [
    'things.input: ok',
    'things.handler: 403',
    "things.owner: not the caller's",
  ]);
  assert.deepEqual(await told(randomUUID(), 'bob'), ['things.input: ok', 'things.handler: 404']);
});

test('a refusal tells of the checks up to the one that refused', async () => {
  const path = `/things/${ownedId}`;
  assertTold(await service.call('GET', path), 401, 'things.authn: no_credentials');
  const unscoped = await service.call('GET', path, { as: { ...reader, scope: '' } });
  assertTold(unscoped, 403, ...passed, 'things.scope: things:read missing');
  const scoped = [...passed, 'things.scope: things:read ok'];
  const client = await service.call('GET', path, { as: { ...reader, client_id: 'alice' } });
  assertTold(client, 403, ...scoped, 'things.user: refused');
  assertTold(
    await service.call('GET', '/things/x?y=1', { as: reader }),
    422,
    ...[...scoped, 'things.user: ok', 'things.input: faults: 2'],
  );

  const admin = { ...reader, roles: ['admin'] };
  assertTold(await service.call('GET', '/broken', { as: reader }), 403, ...scoped, 'things.role: missing');
  const external = await service.call('GET', '/broken', { as: admin });
  assertTold(external, 403, ...scoped, 'things.role: ok', 'things.audience: refused');
  const internal = await service.call('GET', '/broken', { as: { ...admin, aud: service.audience } });
  const inside = ['things.role: ok', 'things.audience: ok', 'things.input: ok', 'things.handler: 500'];
  assertTold(internal, 500, ...scoped, ...inside);
});

test('input that is refused before it is held against its schema is told of too', async () => {
  const call = (request: Parameters<typeof service.call>[2]) =>
    service.call('PATCH', `/things/${ownedId}`, { as: writer, headers: anyVersion, ...request });
  const refused = [...passed, 'things.scope: things:write ok', 'things.input: refused'];
  assertTold(await call({ text: '{', headers: { 'Content-Type': 'text/plain' } }), 415, ...refused);
  assertTold(await call({ text: '{' }), 400, ...refused);
  assertTold(await call({ text: `"${'x'.repeat(65 * 1024)}"` }), 413, ...refused);
  assertTold(await call({ json: change, headers: {} }), 428, ...refused);
  assertTold(await call({ json: change, headers: { 'If-Match': 'x' } }), 400, ...refused);
});

test('answers tell nothing in production, and nothing with EXPLAIN=false; elsewhere, and where it is asked for, they do', async () => {
  const cases: [Record<string, string>, boolean][] = [
    [{}, true],
    [{ NODE_ENV: 'test' }, true],
    [{ EXPLAIN: 'false' }, false],
    [{ NODE_ENV: 'production' }, false],
    [{ NODE_ENV: 'production', EXPLAIN: '' }, false],
    [{ NODE_ENV: 'production', EXPLAIN: 'true' }, true],
  ];
  for (const [env, tells] of cases) {
    const other = await bench.start(things, env);
    for (const as of [reader, undefined]) {
      const { headers } = await other.call('GET', `/things/${ownedId}`, as && { as });
      assert.equal(headers.has('server-timing'), tells, JSON.stringify(env));
    }
  }
});
