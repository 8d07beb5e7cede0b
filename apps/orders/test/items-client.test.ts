import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { assertProblem, type TestedService } from '@gatehouse/service-kit/testing';
import { createProofKey } from '@gatehouse/test-kit';
import type { RequestHandler } from 'express';
import { exchangedClaims, startOrders } from './start-orders.ts';

const bench = await startOrders();
after(bench.close);

const itemId = randomUUID();
const held = { name: 'Lamp', unitPriceCents: 1250, currency: 'EUR' };

const holding = (answer: object): RequestHandler => {
  return (req, res) =>
    void (req.path.endsWith('/reservations') ? res.status(201).json(answer) : res.status(204).end());
};

const order = async (orders: TestedService, headers?: Record<string, string>) => {
  const as = { sub: randomUUID(), scope: 'orders:read orders:write' };
  const json = { lines: [{ itemId, quantity: 1 }] };
  const answer = await orders.call('POST', '/orders', { as, json, ...(headers && { headers }) });
  const { items } = (await orders.call('GET', '/orders', { as })).body;
  assert.equal(items.length, answer.status === 201 ? 1 : 0);
  return answer;
};

// Good for both parts, so that only the fault itself can be what is refused.
const goodAnswer = { ...held, access_token: 'x', token_type: 'Bearer' };

const faults: Record<string, RequestHandler> = {
  'answers 500': (_req, res) => void res.status(500).json({ error: 'server_error' }),
  'answers 503': (_req, res) => void res.status(503).json({ error: 'temporarily_unavailable' }),
  'answers 429': (_req, res) => void res.status(429).json({ error: 'slow_down' }),
  'answers 403': (_req, res) => void res.status(403).json({ error: 'access_denied' }),
  'answers no JSON': (_req, res) => void res.send('<html>'),
  'answers nothing': (_req, res) => void res.status(200).end(),
  'answers another shape': (_req, res) => void res.json([]),
  'answers too much': (_req, res) => void res.json({ ...goodAnswer, name: 'x'.repeat(300_000) }),
  redirects: (req, res) => void (req.path === '/there' ? res.json(goodAnswer) : res.redirect(307, '/there')),
  hangs: () => {},
  'hangs within the body': (_req, res) => void res.type('json').write('{"access_token":'),
  'hangs up': (req) => void req.socket.destroy(),
};

for (const [fault, handler] of Object.entries(faults)) {
  for (const part of ['token', 'items'] as const) {
    const name = part === 'token' ? 'the token endpoint' : 'items';
    test(`POST /orders is 503 with Retry-After, and orders nothing, when ${name} ${fault}`, async () => {
      const answer = await order(await bench.startOrdersWith({ [part]: handler }));
      assertProblem(answer, 503);
      assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
      assert.doesNotMatch(JSON.stringify(answer.body), /127\.0\.0\.1|fetch|JSON|token/);
    });
  }
}

test('POST /orders is 503 when items answers with a price or a name that cannot be', async () => {
  const changes = [
    { unitPriceCents: -1 },
    { unitPriceCents: 1.5 },
    { unitPriceCents: 1e9 },
    { currency: 'XTS' },
    { name: '\0' },
  ];
  for (const change of changes) {
    const orders = await bench.startOrdersWith({ items: holding({ ...held, ...change }) });
    assertProblem(await order(orders), 503);
  }
});

test('POST /orders is 503 when the token endpoint refuses the client, not the caller', async () => {
  for (const [status, error] of [
    [401, 'invalid_client'],
    [400, 'unauthorized_client'],
    [400, 'invalid_target'],
    [400, 'invalid_request'],
  ] as const) {
    const orders = await bench.startOrdersWith({
      token: (_req, res) => void res.status(status).json({ error }),
    });
    assertProblem(await order(orders), 503);
  }
});

test('POST /orders is 503 when the exchanged token is no bearer token', async () => {
  const token: RequestHandler = (_req, res) => void res.json({ access_token: 'x', token_type: 'N_A' });
  assertProblem(await order(await bench.startOrdersWith({ token })), 503);
});

test('POST /orders is 401 when the token endpoint or items refuses the token of the caller', async () => {
  const refused: { token?: RequestHandler; items?: RequestHandler }[] = [
    { token: (_req, res) => void res.status(400).json({ error: 'invalid_grant' }) },
    { items: (_req, res) => void res.status(401).json({ status: 401 }) },
  ];
  for (const instead of refused) {
    const answer = await order(await bench.startOrdersWith(instead));
    assertProblem(answer, 401);
    assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer .*error="invalid_token"/);
  }
});

test('J34 POST /orders acts for a caller whose token is bound to a key', async () => {
  const key = await createProofKey();
  const seen: unknown[] = [];
  const token: RequestHandler = (req, res) => {
    seen.push(req.body.subject_token);
    res.json(goodAnswer);
  };
  const items: RequestHandler = (req, res, next) => {
    seen.push(req.headers.authorization, req.headers.dpop);
    holding(held)(req, res, next);
  };
  const orders = await bench.startOrdersWith({ token, items });
  const bound = await bench.issuer.sign({
    sub: randomUUID(),
    scope: 'orders:write',
    cnf: { jkt: key.thumbprint },
  });
  const send = async () => {
    const url = `${bench.issuer.issuer}/orders`;
    const proof = await key.prove({ method: 'POST', url, token: bound });
    const headers = { Authorization: `DPoP ${bound}`, DPoP: proof };
    return orders.call('POST', '/orders', { json: { lines: [{ itemId, quantity: 1 }] }, headers });
  };
  assert.equal((await send()).status, 201);
  assert.deepEqual(seen, [bound, 'Bearer x', undefined, 'Bearer x', undefined]);
});

test('Z13 J33 items sees the caller, orders as the actor, the one scope it needs, the request id and the trace', async () => {
  const seen: { claims: Record<string, unknown>; correlation: unknown[]; path: string }[] = [];
  const orders = await bench.startOrdersWith({
    items: (req, res, next) => {
      const payload = req.headers.authorization?.split('.')[1] ?? '';
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
      const { 'x-request-id': requestId, traceparent, tracestate } = req.headers;
      seen.push({ claims, correlation: [requestId, traceparent, tracestate], path: req.path });
      holding(held)(req, res, next);
    },
  });
  const as = { sub: randomUUID(), scope: 'orders:write', gid: 'the grant' };
  const json = { lines: [{ itemId, quantity: 1 }] };
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const headers = { 'X-Request-Id': 'request-of-this-test', traceparent, tracestate: 'congo=t61' };
  assert.equal((await orders.call('POST', '/orders', { as, json, headers })).status, 201);
  const [{ path } = { path: '' }] = seen;
  assert.match(path, new RegExp(`^/items/${itemId}/reservations$`));
  assert.equal(seen.length, 2);
  const correlation = ['request-of-this-test', traceparent, 'congo=t61'];
  for (const { claims, ...rest } of seen) {
    assert.deepEqual(rest.correlation, correlation);
    const { sub, aud, scope, client_id, act } = claims;
    assert.deepEqual({ sub, aud, scope, client_id, act }, exchangedClaims(as.sub));
  }
});
