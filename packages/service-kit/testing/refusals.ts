import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { z } from 'zod';
import { type GuardedRoute, type Route, roleBeside } from '../src/route.ts';
import {
  assertProblem,
  challengeOf,
  pointersOf,
  type TestAnswer,
  type TestBench,
  type TestedService,
  type TestRequest,
} from './index.ts';
import { testProofs } from './proofs.ts';

/** Makes a resource of `sub` and tells the path that leads to it. */
type MakeOwned = (sub: string) => Promise<string>;

/**
 * Registers the tests that every declared route must pass: whom it refuses, and which input. A new route has them by
 * being declared.
 * @param owned how to make what the routes with an `owner` are about, by their paths: `/orders/{id}` stands for
 * everything below it up to another id
 * @param bodies what the routes with an `owner` take that need a body, by their names: `POST /orders/{id}/lines`
 */
export function testRefusals(
  service: TestedService,
  bench: TestBench,
  owned: Record<string, MakeOwned> = {},
  bodies: Record<string, unknown> = {},
): void {
  for (const declared of service.routes) {
    const method = declared.method.toUpperCase();
    const name = `${method} ${declared.path}`;
    const path = declared.path.replaceAll(/\{\w+\}/g, () => randomUUID());
    const as = claimsFor(declared, service);
    const call = (request: TestRequest = {}) =>
      service.call(method, path, { ...request, headers: { ...ifMatchFor(declared), ...request.headers } });
    if (!declared.public) {
      testGuard(name, declared, call, as, service, bench);
      testProofs(name, { method, path, as }, call, bench.issuer);
      if (declared.owner !== undefined && declared.path.includes('{')) {
        testOwner(name, declared, as, service, owned, bodies[name]);
      }
    }
    if (declared.ifMatch) testVersions(name, declared, path, as, service);
    testParameters(name, declared, as, service);
    if (declared.body !== undefined) testBody(name, declared.body, call, as);
  }
}

function ifMatchFor(declared: Route): Record<string, string> {
  return declared.ifMatch ? { 'If-Match': '*' } : {};
}

function emptyBodyFor(declared: Route): TestRequest {
  return declared.body === undefined ? {} : { json: {} };
}

/** Of somebody whom the guard of a route lets pass. */
function claimsFor(declared: Route, { audience }: TestedService) {
  const { scope, role, internal } = declared.public ? {} : declared;
  return {
    sub: randomUUID(),
    scope,
    ...(role !== undefined && { roles: [role] }),
    ...(internal && { aud: audience, act: { sub: 'some-service' } }),
  };
}

type Claims = ReturnType<typeof claimsFor>;
type Call = (request?: TestRequest) => Promise<TestAnswer>;

function testGuard(
  name: string,
  { scope, role, user, internal }: GuardedRoute,
  call: Call,
  as: Claims,
  service: TestedService,
  bench: TestBench,
): void {
  test(`T08 ${name} asks a caller without a token for one`, async () => {
    const answer = await call();
    assertProblem(answer, 401);
    assert.match(challengeOf(answer), /^Bearer\b/);
    assert.doesNotMatch(challengeOf(answer), /error/);
  });

  test(`T11 Z05 ${name} refuses a token without ${scope}, and names it`, async () => {
    for (const other of ['', `${scope}s`, `x${scope}`, scope.toUpperCase(), 'openid profile email']) {
      const answer = await call({ as: { ...as, scope: other } });
      assertProblem(answer, 403);
      assert.match(challengeOf(answer), /error="insufficient_scope"/);
      assert.ok(challengeOf(answer).includes(`scope="${scope}"`), challengeOf(answer));
    }
  });

  if (role !== undefined) {
    test(`Z03 ${name} refuses a caller without the role ${role}`, async () => {
      for (const roles of [[], ['customer'], [`${role}s`], [role.toUpperCase()]]) {
        assertProblem(await call({ as: { ...as, roles } }), 403);
      }
    });
  }

  test(`J15 J32 ${name} refuses a token made for another service`, async () => {
    for (const aud of ['urn:gatehouse:other', `${service.audience}x`, service.url, 'urn:gatehouse']) {
      const answer = await call({ as: { ...as, aud } });
      assertProblem(answer, 401);
      assert.match(challengeOf(answer), /error="invalid_token"/);
    }
  });

  if (internal) {
    test(`${name} refuses a token made for every service`, async () => {
      assertProblem(await call({ as: { ...as, aud: bench.issuer.audience } }), 403);
    });
  }

  test(`J10 J11 ${name} refuses what is signed but no access token`, async () => {
    for (const typ of ['JWT', 'logout+jwt', 'dpop+jwt', undefined]) {
      const other = await bench.issuer.sign(as, { typ });
      const answer = await call({ headers: { Authorization: `Bearer ${other}` } });
      assertProblem(answer, 401);
      assert.match(challengeOf(answer), /error="invalid_token"/);
    }
  });

  test(`${name} takes a token made for this service alone`, async () => {
    const { status } = await call({
      as: { ...as, aud: service.audience, act: { sub: 'some-service' } },
    });
    assert.ok(![401, 403].includes(status), String(status));
  });

  test(`J37 ${name} refuses a revoked token`, async () => {
    const jti = randomUUID();
    await bench.denylist.append([{ jti, exp: Math.floor(Date.now() / 1000) + 300 }]);
    const answer = await call({ as: { ...as, jti } });
    assertProblem(answer, 401);
    assert.match(challengeOf(answer), /error="invalid_token"/);
  });

  test(`Z06 ${name} ${user ? 'refuses' : 'takes'} a token that a client got for itself`, async () => {
    const answer = await call({ as: { ...as, client_id: as.sub } });
    if (user) assertProblem(answer, 403);
    else assert.ok(![401, 403].includes(answer.status), String(answer.status));
  });
}

function testOwner(
  name: string,
  declared: GuardedRoute,
  as: Claims,
  service: TestedService,
  owned: Record<string, MakeOwned>,
  json: unknown = {},
): void {
  const { method, path, owner, body } = declared;
  const end = path.lastIndexOf('}') + 1;
  const [target, tail] = [path.slice(0, end), path.slice(end)];
  const make = owned[target];

  test(`Z01 ${name} refuses everyone but the ${owner}, and changes nothing then`, async () => {
    assert.ok(make, `tell testRefusals how to make what ${target} leads to`);
    assert.ok(!body || body.safeParse(json).success, `tell testRefusals a body for ${name}`);
    const resource = await make(as.sub);
    const readable = service.routes.find(({ method, path: other }) => method === 'get' && other === target);
    const read = async () =>
      readable &&
      (await service.call('GET', resource, { as: { ...claimsFor(readable, service), sub: as.sub } }));
    const before = await read();

    const call = (to: string, claims: Record<string, unknown>) =>
      service.call(method.toUpperCase(), to + tail, {
        as: { ...as, ...claims },
        headers: ifMatchFor(declared),
        ...(body && { json }),
      });
    const stranger = { sub: randomUUID() };
    const refused = await call(resource, stranger);
    const role = roleBeside(owner);
    if (role !== undefined) {
      assertProblem(refused, 403);
      assertProblem(await call(resource, { ...stranger, roles: ['customer', `${role}s`] }), 403);
      const { status } = await call(resource, { ...stranger, roles: [role] });
      assert.ok(status < 400, String(status));
      return;
    }
    assertProblem(refused, 404);
    const unknown = await call(
      target.replaceAll(/\{\w+\}/g, () => randomUUID()),
      stranger,
    );
    const told = ({ body: { instance, requestId, ...rest } }: TestAnswer) => rest;
    assert.deepEqual(told(refused), told(unknown));
    // What is below something of theirs is no more to be had below something of one's own.
    const below = (await make(stranger.sub)).replace(/[^/]+$/, () => resource.replace(/^.*\//, ''));
    assertProblem(await call(below, stranger), 404);
    assertProblem(await call(resource, { ...stranger, roles: ['admin'] }), 404);
    assert.deepEqual((await read())?.body, before?.body);
  });
}

function testVersions(name: string, declared: Route, path: string, as: Claims, service: TestedService): void {
  test(`Z17 ${name} is 428 without If-Match, and 400 when that is malformed`, async () => {
    const call = (headers: Record<string, string>) =>
      service.call(declared.method.toUpperCase(), path, { as, headers, ...emptyBodyFor(declared) });
    assertProblem(await call({}), 428);
    for (const header of ['1', '"1', '"1" "2"', '"a"b', '*, "1"', '""1']) {
      assertProblem(await call({ 'If-Match': header }), 400);
    }
  });
}

function testParameters(name: string, declared: Route, as: Claims, service: TestedService): void {
  const method = declared.method.toUpperCase();
  const plain = declared.path.replaceAll(/\{\w+\}/g, () => randomUUID());
  const call = (path: string) =>
    service.call(method, path, { as, headers: ifMatchFor(declared), ...emptyBodyFor(declared) });

  test(`H30 H31 ${name} answers 422 to a query or a path of another shape, and points at it`, async () => {
    for (const name of ['unknown', '__proto__', 'constructor', 'access', 'id[]']) {
      const answer = await call(`${plain}?${name}=1`);
      assertProblem(answer, 422);
      assert.ok(pointersOf(answer).includes(`/query/${name}`), name);
    }
    for (const [, name] of declared.path.matchAll(/\{(\w+)\}/g)) {
      for (const value of ['1', 'null', `${randomUUID()}x`, "'%20OR%201=1--", '%00', '%F0%9F%91%BB']) {
        const path = declared.path.replace(`{${name}}`, value).replaceAll(/\{\w+\}/g, () => randomUUID());
        const answer = await call(path);
        assertProblem(answer, 422);
        assert.ok(pointersOf(answer).includes(`/path/${name}`), value);
      }
    }
  });
}

function testBody(name: string, schema: z.ZodType, call: Call, as: Claims): void {
  const fields =
    schema instanceof z.ZodObject ? Object.entries(schema.shape as Record<string, z.ZodType>) : [];

  test(`Z09 ${name} answers 422 to a field of another type, and points at it`, async () => {
    const values = [
      'true',
      '"text"',
      '"1"',
      '1.5',
      '-1',
      '1e309',
      '9007199254740993',
      '{}',
      '[]',
      'null',
      '[null]',
    ];
    for (const [field, fieldSchema] of fields) {
      const wrong = values.filter((value) => !fieldSchema.safeParse(JSON.parse(value)).success);
      assert.ok(wrong.length > 5, `${field} takes nearly everything`);
      for (const value of wrong) {
        const answer = await call({ as, text: `{"${field}":${value}}` });
        assertProblem(answer, 422);
        assert.ok(
          pointersOf(answer).some((pointer) => pointer === `#/${field}` || pointer.startsWith(`#/${field}/`)),
          `${field}: ${value}`,
        );
      }
    }
  });

  const texts = fields.filter(([, fieldSchema]) => fieldSchema.safeParse('text').success);
  if (texts.length > 0) {
    test(`H41 ${name} answers 422 to text that cannot be stored, or is endless`, async () => {
      for (const [field] of texts) {
        for (const text of ['\0', '\ud800', 'x'.repeat(60_000)]) {
          const answer = await call({ as, json: { [field]: text } });
          assertProblem(answer, 422);
          assert.ok(pointersOf(answer).includes(`#/${field}`), field);
        }
      }
    });
  }

  test(`H29 ${name} answers 400 to what is not JSON`, async () => {
    const broken = ['', '{', '{"a":1,}', '{"a":NaN}', "{'a':1}", '{"a":1}}', '[1 2]', '\0', '{"a":01}'];
    for (const text of broken) assertProblem(await call({ as, text }), 400);
    assertProblem(await call({ as, text: Buffer.from('{"name":"\xff"}', 'latin1') }), 400);
  });

  test(`H29 ${name} answers 422 to JSON of another shape`, async () => {
    const deep = `${'['.repeat(10_000)}${']'.repeat(10_000)}`;
    const many = JSON.stringify(Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [index, 0])));
    const empty = schema.safeParse({}).success ? [] : ['{}'];
    for (const text of [...empty, '[]', 'null', '0', '"text"', 'true', '{"\\ud800":1}', deep, many]) {
      const answer = await call({ as, text });
      assertProblem(answer, 422);
      assert.ok(answer.body.errors.length > 0 && answer.body.errors.length <= 20);
    }
  });

  test(`H30 ${name} refuses fields that nobody declared`, async () => {
    for (const key of ['__proto__', 'constructor', 'prototype', 'isAdmin']) {
      const answer = await call({ as, text: `{"${key}":{"isAdmin":true}}` });
      assertProblem(answer, 422);
      assert.ok(pointersOf(answer).includes(`#/${key}`), key);
    }
    assert.equal(Object.hasOwn(Object.prototype, 'isAdmin'), false);
  });

  test(`H33 ${name} answers 415 to another media type, charset or coding`, async () => {
    const types = ['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=utf-7'];
    for (const type of [...types, 'application/jsonp', 'multipart/form-data; boundary=x']) {
      assertProblem(await call({ as, text: '{}', headers: { 'Content-Type': type } }), 415);
    }
    assertProblem(await call({ as, text: '{}', headers: { 'Content-Encoding': 'gzip' } }), 415);
    assertProblem(await call({ as }), 415);
  });

  test(`H28 ${name} answers 413 to a body over 64 KiB`, async () => {
    assertProblem(await call({ as, text: `"${'x'.repeat(65 * 1024)}"` }), 413);
  });
}
