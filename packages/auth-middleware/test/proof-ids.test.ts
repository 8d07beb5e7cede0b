import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { createProofKey, createTestIssuer, realServer, startRedis } from '@gatehouse/test-kit';
import { createRedisProofIds, type ProofIds, ProofIdsUnavailable } from '../src/index.ts';
import { openApp, until } from './app.ts';

function open(t: TestContext, url: string, verifier = 'test'): ProofIds {
  const proofIds = createRedisProofIds({ url, verifier });
  t.after(() => proofIds.close());
  return proofIds;
}

/** Waits until Redis is there: what cannot be done at once is refused, the first connection included. */
async function answers(proofIds: ProofIds): Promise<void> {
  await until(() =>
    proofIds.add(randomUUID()).then(
      () => true,
      () => false,
    ),
  );
}

test(
  'J34 two processes behind one Redis take a proof once between them, at the same time too',
  realServer('redis'),
  async (t) => {
    const redis = await startRedis(t);
    const issuer = await createTestIssuer();
    const replicas = await Promise.all(
      [0, 1].map(async () => {
        const proofIds = open(t, redis.url, 'one-service');
        await answers(proofIds);
        return openApp(t, { dpop: { origin: issuer.issuer, proofIds } }, issuer);
      }),
    );
    const key = await createProofKey();
    const token = await issuer.sign({ cnf: { jkt: key.thumbprint } });
    for (let i = 0; i < 20; i++) {
      const dpop = await key.prove({ url: `${issuer.issuer}/`, token });
      const headers = { authorization: `DPoP ${token}`, dpop };
      const statuses = await Promise.all(
        replicas.map(async ({ url }) => (await fetch(url, { headers })).status),
      );
      assert.deepEqual(statuses.toSorted(), [200, 401]);
    }
  },
);

test('J34 each verifier takes the same proof once', realServer('redis'), async (t) => {
  const redis = await startRedis(t);
  const id = randomUUID();
  for (const verifier of ['gateway', 'items']) {
    const proofIds = open(t, redis.url, verifier);
    await answers(proofIds);
    assert.deepEqual([await proofIds.add(id), await proofIds.add(id)], [true, false], verifier);
  }
});

test(
  'J34 without Redis no proof passes, within the deadline, and with it again they do',
  realServer('redis', { own: true }),
  async (t) => {
    const redis = await startRedis(t, { own: true });
    const proofIds = open(t, redis.url);
    await answers(proofIds);
    redis.pause();
    const askedAt = performance.now();
    await assert.rejects(proofIds.add('frozen'), ProofIdsUnavailable);
    // Without a deadline of its own a command fails with its connection, after a second.
    assert.ok(performance.now() - askedAt < 900);
    redis.resume();
    await answers(proofIds);
    await redis.stop();
    await assert.rejects(proofIds.add('stopped'), ProofIdsUnavailable);
    await redis.restart();
    await answers(proofIds);
  },
);

test('J34 a Redis that is full lets no proof pass', realServer('redis', { own: true }), async (t) => {
  const redis = await startRedis(t, {
    own: true,
    args: ['--maxmemory', '1', '--maxmemory-policy', 'noeviction'],
  });
  const proofIds = open(t, redis.url);
  for (let i = 0; i < 5; i++) await assert.rejects(proofIds.add(`${i}`), ProofIdsUnavailable);
});
