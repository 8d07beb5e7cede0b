import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createAuthenticate, createKeySet, createMemoryProofIds } from '@gatehouse/auth-middleware';
import { DenylistUnavailable } from '@gatehouse/denylist';
import { createTestIssuer, listenApp } from '@gatehouse/test-kit';
import express from 'express';
import { z } from 'zod';
import {
  createLogger,
  createRouter,
  ok,
  problemHandler,
  route,
  type ServerEvent,
  serverEvents,
} from '../src/index.ts';

async function* onceAndThenNothing() {
  yield { id: '7', event: 'note', data: { text: 'first', secret: 'hash' } };
  yield {};
  await new Promise(() => {});
}

async function* wrongly(): AsyncGenerator<ServerEvent> {
  yield { event: 'secret', data: 'hash' };
}

const notes = serverEvents({ note: z.object({ text: z.string() }) });
const routes = [
  route('get', '/events', {
    scope: 'notes:read',
    summary: 'Streams',
    responses: { 200: notes },
    handler: async () => ok(onceAndThenNothing()),
  }),
  route('get', '/wrong', {
    public: true,
    summary: 'Streams what it did not declare',
    responses: { 200: notes },
    handler: async () => ok(wrongly()),
  }),
];

const issuer = await createTestIssuer();
const keySet = createKeySet({ jwksUri: issuer.jwksUri });
/** What the denylist says of each token, by its id. */
const revoked = new Map<string, boolean | undefined>();
const authenticate = createAuthenticate({
  issuer: issuer.issuer,
  audiences: [issuer.audience],
  keySet,
  denylist: {
    isRevoked({ jti }) {
      if (revoked.has(jti) && revoked.get(jti) === undefined) throw new DenylistUnavailable();
      return revoked.get(jti) ?? false;
    },
  },
  dpop: { origin: issuer.issuer, proofIds: createMemoryProofIds() },
});
const logged: string[] = [];
const logger = createLogger({ level: 'warn' }, { write: (line) => logged.push(line) });
const app = express().use(createRouter(routes, authenticate), problemHandler(logger));
const server = await listenApp(app);
after(async () => {
  await server.close();
  keySet.close();
  await issuer.close();
});

const now = () => Math.floor(Date.now() / 1000);

/** Opens a stream; `rest` is what it tells until it ends. */
async function open(claims: Record<string, unknown>): Promise<{ rest: Promise<string> }> {
  const token = await issuer.sign({ scope: 'notes:read', ...claims });
  const response = await fetch(`${server.url}/events`, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(10_000),
  });
  assert.equal(response.status, 200);
  return { rest: response.text() };
}

suite('a stream that its handler never ends tells what is declared and', { concurrency: true }, () => {
  const first = 'id: 7\nevent: note\ndata: {"text":"first"}\n\n:\n\n';

  test('J37 ends when its token is revoked', async () => {
    const { rest } = await open({ jti: 'revoked' });
    revoked.set('revoked', true);
    assert.equal(await rest, first);
  });

  test('J37 ends when its token expires', async () => {
    const exp = now() + 3;
    const { rest } = await open({ exp });
    assert.equal(await rest, first);
    assert.ok(Date.now() / 1000 >= exp);
  });

  test('J37 is cut when nobody can tell whether its token is revoked', async () => {
    const { rest } = await open({ jti: 'unknown' });
    revoked.set('unknown', undefined);
    await assert.rejects(rest, { name: 'TypeError', message: 'terminated' });
    assert.match(logged.join(), /DenylistUnavailable/, 'and the log says why');
  });
});

test('a reader that leaves is no fault', async () => {
  const token = await issuer.sign({ scope: 'notes:read' });
  const leaving = new AbortController();
  const headers = { authorization: `Bearer ${token}` };
  await fetch(`${server.url}/events`, { headers, signal: leaving.signal });
  const before = logged.length;
  leaving.abort();
  await delay(500);
  assert.deepEqual(logged.slice(before), []);
});

test('an event that is not declared cuts the stream, and the log says why', async () => {
  const response = await fetch(`${server.url}/wrong`);
  await assert.rejects(response.text(), { message: 'terminated' });
  assert.match(logged.join(), /the event secret is not declared/);
});
