import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { createMemoryDenylist, type DenylistWriter } from '@gatehouse/denylist';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { createTestIssuer, type TestIssuer } from '@gatehouse/test-kit';
import { loadConfig } from '../src/config.ts';
import type { Db } from '../src/database.ts';
import type { Route } from '../src/route.ts';
import { type Service, type ServiceConfig, startService } from '../src/start-service.ts';
import { testProofs } from './proofs.ts';

/** The parts that real services run on in a test: an issuer with real keys, an empty database, a denylist. */
export interface TestBench {
  readonly issuer: TestIssuer;
  readonly db: Db;
  readonly denylist: DenylistWriter;
  /** Runs a service on a free port, with these variables besides the usual ones. */
  start<Config extends ServiceConfig>(
    service: Service<Config>,
    env?: Record<string, string>,
  ): Promise<TestedService>;
  close(): Promise<void>;
}

export interface TestedService {
  readonly url: string;
  readonly audience: string;
  readonly routes: readonly Route[];
  call(method: string, path: string, request?: TestRequest): Promise<TestAnswer>;
}

export interface TestRequest {
  /** Claims of the access token; without them, the request carries none. */
  as?: Record<string, unknown>;
  /** A body that is sent as JSON. */
  json?: unknown;
  /** A body that is sent as it is. */
  text?: string | Uint8Array;
  headers?: Record<string, string>;
}

export interface TestAnswer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of every shape
  body: any;
}

/** Starts the parts; `close()` ends them and every service started on them. */
export async function createTestBench(): Promise<TestBench> {
  const issuer = await createTestIssuer();
  const embedded = await openEmbeddedPostgres(undefined);
  const denylist = createMemoryDenylist();
  await denylist.markComplete();
  const closing: (() => Promise<void>)[] = [denylist.close, embedded.close, issuer.close];

  return {
    issuer,
    denylist,
    db: embedded.db,
    async start(service, env = {}) {
      const usual = { PORT: '0', LOG_LEVEL: 'silent', ISSUER: issuer.issuer, JWKS_URI: issuer.jwksUri };
      const config = loadConfig(service.config, { ...usual, ...env }) as never;
      const running = await startService(service, config, { embedded, denylist });
      closing.unshift(running.close);
      const { url } = running.listener;
      return {
        url,
        audience: service.audience,
        routes: service.routes({ db: embedded.db, config }),
        async call(method, path, { as, json, text, headers } = {}) {
          const response = await fetch(url + path, {
            method,
            headers: {
              ...(as && { Authorization: `Bearer ${await issuer.sign(as)}` }),
              ...((json !== undefined || text !== undefined) && { 'Content-Type': 'application/json' }),
              ...headers,
            },
            body: text ?? (json === undefined ? null : JSON.stringify(json)),
          });
          const answer = await response.text();
          return {
            status: response.status,
            headers: response.headers,
            body: answer && JSON.parse(answer),
          };
        },
      };
    },
    async close() {
      for (const close of closing) await close();
    },
  };
}

/** Registers the tests that every declared route must pass: whom it refuses, and which bodies. */
export function testRefusals(service: TestedService, bench: TestBench): void {
  for (const declared of service.routes) {
    const method = declared.method.toUpperCase();
    const name = `${method} ${declared.path}`;
    const path = declared.path.replaceAll(/\{\w+\}/g, () => randomUUID());
    const call = (request: TestRequest = {}) => service.call(method, path, request);
    if (!declared.public) {
      testGuard(name, declared, call, service, bench);
      testProofs(name, { method, path, as: claimsFor(declared) }, call, bench.issuer);
    }
    if (declared.body !== undefined) testBody(name, call, claimsFor(declared));
  }
}

/** Of somebody whom the guard of a route lets pass. */
function claimsFor({ scope, ...declared }: Route) {
  const role = declared.public ? undefined : declared.role;
  return { sub: randomUUID(), scope, ...(role !== undefined && { roles: [role] }) };
}

type Call = (request?: TestRequest) => Promise<TestAnswer>;

function testGuard(
  name: string,
  declared: Extract<Route, { scope: string }>,
  call: Call,
  service: TestedService,
  bench: TestBench,
): void {
  const { scope, role, user } = declared;
  const as = claimsFor(declared);

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

function testBody(name: string, call: Call, as: Record<string, unknown>): void {
  test(`H29 ${name} answers 400 to what is not JSON`, async () => {
    const broken = ['{', '{"a":1,}', '{"a":NaN}', "{'a':1}", '{"a":1}}', '[1 2]', '\0', '{"a":01}'];
    for (const text of broken) assertProblem(await call({ as, text }), 400);
    assertProblem(await call({ as, text: Buffer.from('{"name":"\xff"}', 'latin1') }), 400);
  });

  test(`H29 ${name} answers 422 to JSON of another shape`, async () => {
    const deep = `${'['.repeat(10_000)}${']'.repeat(10_000)}`;
    const many = JSON.stringify(Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [index, 0])));
    for (const text of ['{}', '[]', 'null', '0', '"text"', 'true', '{"\\ud800":1}', deep, many]) {
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

/** Asserts an answer of problem details that no cache keeps (RFC 9457). */
export function assertProblem({ status, headers, body }: TestAnswer, expected: number): void {
  assert.equal(status, expected, JSON.stringify(body));
  assert.match(headers.get('content-type') ?? '', /^application\/problem\+json/);
  assert.equal(headers.get('cache-control'), 'no-store');
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  assert.equal(body.status, expected);
  assert.equal(body.requestId, headers.get('x-request-id'));
}

/** What the caller is told to bring. */
export function challengeOf({ headers }: TestAnswer): string {
  return headers.get('www-authenticate') ?? '';
}

/** One line for each route, sorted: method, path, what it asks of the caller. */
export function accessTable(routes: readonly Route[]): string[] {
  const lines = routes.map(({ method, path, scope, ...rest }) => {
    const { role, user } = rest as { role?: string; user?: boolean };
    return [method.toUpperCase(), path, scope ?? 'public', role, user && 'user'].filter(Boolean).join(' ');
  });
  return lines.sort();
}

/** Where the fields are that the service found fault with. */
export function pointersOf({ body }: TestAnswer): string[] {
  return body.errors.map((error: { pointer: string }) => error.pointer);
}
