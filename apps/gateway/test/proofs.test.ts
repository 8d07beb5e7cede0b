import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { callerOf } from '@gatehouse/auth-middleware';
import { createLogger, createMetrics, openGuard, problemHandler } from '@gatehouse/service-kit/core';
import {
  createProofKey,
  createTestIssuer,
  rawRequest,
  realServer,
  startRedis,
  type TestIssuer,
} from '@gatehouse/test-kit';
import express from 'express';
import { publicHost, startTestGateway, type TestGateway } from './start-gateway.ts';

/** A client with a token that is bound to its key, which makes a proof for each request. */
async function createBoundClient(issuer: TestIssuer) {
  const key = await createProofKey();
  const token = await issuer.sign({ cnf: { jkt: key.thumbprint } });
  const prove = (path: string, claims?: Record<string, unknown>) =>
    key.prove({ url: issuer.issuer + path, token }, claims);
  const headersFor = async (path: string) => ({
    authorization: `DPoP ${token}`,
    dpop: await prove(path),
  });
  return { token, prove, headersFor };
}

/** Waits until the ids of used proofs can be had. */
async function untilPassed(gateway: TestGateway): Promise<void> {
  const client = await createBoundClient(gateway.issuer);
  const giveUpAt = performance.now() + 5_000;
  for (;;) {
    const { status } = await gateway.send('/items', { headers: await client.headersFor('/items') });
    if (status === 200) return;
    if (performance.now() > giveUpAt) throw new Error(`still ${status}`);
    await delay(20);
  }
}

test('J34 a bound token with its proof passes, and both go on to the service as they came', async (t) => {
  const gateway = await startTestGateway(t);
  const client = await createBoundClient(gateway.issuer);
  const headers = await client.headersFor('/items');
  assert.equal((await gateway.send('/items?limit=1', { headers })).status, 200);
  const [received] = gateway.received;
  assert.deepEqual([received?.headers.authorization, received?.headers.dpop], Object.values(headers));
  assert.match(await gateway.metrics.registry.metrics(), /auth_verdicts_total{.*verdict="proven"} 1/);
});

test('J34 J35 a bound token without its own fresh proof is 401, and no upstream hears of it', async (t) => {
  const gateway = await startTestGateway(t);
  const { token, prove, headersFor } = await createBoundClient(gateway.issuer);
  const stranger = await createBoundClient(gateway.issuer);
  const used = await headersFor('/items');
  assert.equal((await gateway.send('/items', { headers: used })).status, 200);
  gateway.received.length = 0;
  const proofs = {
    replayed: used.dpop,
    'for another method': await prove('/items', { htm: 'DELETE' }),
    'for another path': await prove('/orders'),
    'for the service itself': await prove('/items', { htu: 'http://items:8080/items' }),
    'for another token': await prove('/items', { ath: 'x' }),
    'of another key': await stranger.prove('/items'),
    'too old': await prove('/items', { iat: Math.floor(Date.now() / 1000) - 70 }),
    broken: 'x',
  };
  for (const [fault, dpop] of Object.entries(proofs)) {
    const answer = await gateway.send('/items', { headers: { authorization: `DPoP ${token}`, dpop } });
    assert.equal(answer.status, 401, fault);
    assert.match(
      String(answer.headers['www-authenticate']),
      /^DPoP .*error="invalid_dpop_proof".*algs="ES256", resource_metadata="/,
    );
  }
  const bearer = { authorization: `Bearer ${token}`, dpop: await prove('/items') };
  const answer = await gateway.send('/items', { headers: bearer });
  assert.equal(answer.status, 401);
  assert.match(String(answer.headers['www-authenticate']), /^Bearer .*error="invalid_token"/);
  assert.deepEqual(gateway.received, []);
  assert.ok(!gateway.log.join('').includes(used.dpop), 'no proof in the log (H36)');
});

test('J34 two DPoP headers are refused', async (t) => {
  const gateway = await startTestGateway(t);
  const { token, prove } = await createBoundClient(gateway.issuer);
  const { status } = await rawRequest(
    gateway.port,
    `GET /items HTTP/1.1\r\nHost: ${publicHost}\r\nAuthorization: DPoP ${token}\r\nDPoP: ${await prove('/items')}\r\nDPoP: ${await prove('/items')}\r\nConnection: close\r\n\r\n`,
  );
  assert.equal(status, 401);
  assert.deepEqual(gateway.received, []);
});

test('J35 who brings no credentials is offered both schemes', async (t) => {
  const gateway = await startTestGateway(t);
  const { headers } = await gateway.send('/items');
  const metadata = `resource_metadata="${gateway.issuer.issuer}/.well-known/oauth-protected-resource"`;
  assert.equal(
    headers['www-authenticate'],
    `Bearer realm="api", ${metadata}, DPoP realm="api", algs="ES256", ${metadata}`,
  );
});

test(
  'J34 the service behind the gateway verifies the same proof again, and takes no other',
  realServer('redis'),
  async (t) => {
    const redis = await startRedis(t);
    const service = express();
    const gateway = await startTestGateway(t, { answer: service, redisUrl: redis.url });
    await using opened = new AsyncDisposableStack();
    const { authenticate } = openGuard(
      {
        name: 'items',
        config: { ISSUER: gateway.issuer.issuer, JWKS_URI: gateway.issuer.jwksUri, REDIS_URL: redis.url },
        audiences: ['urn:gatehouse:api'],
        denylist: gateway.denylist,
        logger: createLogger({ name: 'items', level: 'silent' }),
        metrics: createMetrics('items'),
      },
      opened,
    );
    service.use(authenticate, (req, res) => void res.json({ subject: callerOf(req).subject }));
    service.use(problemHandler(createLogger({ name: 'items', level: 'silent' })));
    await untilPassed(gateway);
    const client = await createBoundClient(gateway.issuer);
    const headers = await client.headersFor('/items');
    const answer = await gateway.send('/items', { headers });
    assert.deepEqual([answer.status, answer.json], [200, { subject: 'alice' }]);
    assert.equal((await gateway.send('/items', { headers })).status, 401);
  },
);

test('J34 a proof that one gateway has taken is refused by every other', realServer('redis'), async (t) => {
  const redis = await startRedis(t);
  const issuer = await createTestIssuer();
  const options = { redisUrl: redis.url, issuer };
  const gateways = [await startTestGateway(t, options), await startTestGateway(t, options)];
  for (const gateway of gateways) await untilPassed(gateway);
  const client = await createBoundClient(issuer);
  for (let i = 0; i < 10; i++) {
    const headers = await client.headersFor('/items');
    const answers = await Promise.all(gateways.map((gateway) => gateway.send('/items', { headers })));
    assert.deepEqual(answers.map(({ status }) => status).toSorted(), [200, 401]);
  }
});

test(
  'J34 without Redis a bound token is 503 with Retry-After, and bearer tokens go on',
  realServer('redis', { own: true }),
  async (t) => {
    const redis = await startRedis(t, { own: true });
    const gateway = await startTestGateway(t, { redisUrl: redis.url });
    await untilPassed(gateway);
    gateway.received.length = 0;
    await redis.stop();
    const client = await createBoundClient(gateway.issuer);
    const answer = await gateway.send('/items', { headers: await client.headersFor('/items') });
    assert.equal(answer.status, 503);
    assert.ok(Number(answer.headers['retry-after']) > 0);
    assert.deepEqual(gateway.received, []);
    const bearer = await gateway.send('/items', { headers: { authorization: await gateway.bearer() } });
    assert.equal(bearer.status, 200);
    await redis.restart();
    await untilPassed(gateway);
  },
);
