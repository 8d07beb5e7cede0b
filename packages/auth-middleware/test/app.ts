import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createMemoryDenylist, type DenylistReader, type DenylistWriter } from '@gatehouse/denylist';
import { createTestIssuer, listenApp, type TestIssuer } from '@gatehouse/test-kit';
import express, { type ErrorRequestHandler } from 'express';
import {
  type AuthenticateOptions,
  callerOf,
  createAuthenticate,
  createKeySet,
  createMemoryProofIds,
  explain,
  type KeySet,
  type KeySetOptions,
  requireRole,
  requireScope,
  type Verdict,
} from '../src/index.ts';

export interface TestApp {
  issuer: TestIssuer;
  keySet: KeySet;
  denylist: DenylistReader & DenylistWriter;
  url: string;
  port: number;
  /** What onVerdict was told, in order. */
  verdicts: Verdict[];
  /** What the key set complained about. */
  faults: unknown[];
  /** GET with a Bearer token. */
  get(token: string, path?: string): Promise<Response>;
}

type Options = Partial<AuthenticateOptions> & {
  keys?: Partial<KeySetOptions>;
  complete?: boolean;
  /** Whether its answers tell how they were decided. */
  explained?: boolean;
};

/** A resource server on a free port: / tells the caller, /items wants items:read, /admin the role admin. */
export async function openApp(t: TestContext, options: Options = {}, given?: TestIssuer): Promise<TestApp> {
  const { keys, complete = true, explained = false, ...authenticateOptions } = options;
  const issuer = given ?? (await createTestIssuer());
  const faults: unknown[] = [];
  const keySet = createKeySet({ jwksUri: issuer.jwksUri, onFault: (error) => faults.push(error), ...keys });
  const denylist = createMemoryDenylist();
  if (complete) await denylist.markComplete();
  const verdicts: Verdict[] = [];
  const authenticate = createAuthenticate({
    issuer: issuer.issuer,
    audiences: [issuer.audience, 'urn:gatehouse:items'],
    keySet,
    denylist,
    dpop: { origin: issuer.issuer, proofIds: createMemoryProofIds() },
    onVerdict: (verdict) => verdicts.push(verdict),
    ...authenticateOptions,
  });

  const app = express();
  if (explained) app.use(explain('test'));
  app.get('/unguarded', (req, res) => void res.json(callerOf(req)));
  app.use(express.urlencoded());
  app.use(authenticate);
  app.all('/', (req, res) => {
    const { scopes, roles, ...caller } = callerOf(req);
    res.json({ ...caller, scopes: [...scopes], roles: [...roles] });
  });
  app.get('/items', requireScope('items:read'), (_req, res) => void res.json([]));
  app.get('/admin', requireRole('admin'), (_req, res) => void res.json([]));
  app.use(answerError);
  const server = await listenApp(app);
  t.after(async () => {
    keySet.close();
    await Promise.all([server.close(), issuer.close(), denylist.close()]);
  });

  const { url, port } = server;
  const get = (token: string, path = '/') =>
    fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } });
  return { issuer, keySet, denylist, url, port, verdicts, faults, get };
}

// What any handler for errors of the http-errors kind does.
const answerError: ErrorRequestHandler = (error, _req, res, _next) => {
  const { status = 500, headers = {}, expose = false, message } = error;
  res
    .status(status)
    .set(headers)
    .json({ detail: expose ? message : 'Internal error' });
};

/** Waits until `condition` holds. */
export async function until(condition: () => unknown, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms`);
    await delay(5);
  }
}
