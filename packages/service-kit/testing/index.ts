import assert from 'node:assert/strict';
import { createMemoryDenylist, type DenylistWriter } from '@gatehouse/denylist';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { createTestIssuer, type TestIssuer } from '@gatehouse/test-kit';
import { loadConfig } from '../src/config.ts';
import type { Db } from '../src/database.ts';
import type { Route } from '../src/route.ts';
import { type Service, type ServiceConfig, startService } from '../src/start-service.ts';

export { testRefusals } from './refusals.ts';

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
  /** Of a stream of events, the answer has status and headers alone. */
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
          // A stream of events need not end.
          const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
          if (isStream) await response.body?.cancel();
          const answer = isStream ? '' : await response.text();
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

/** Where the fields are that the service found fault with. */
export function pointersOf({ body }: TestAnswer): string[] {
  return body.errors.map((error: { pointer: string }) => error.pointer);
}
