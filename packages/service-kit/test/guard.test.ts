import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createRedisDenylistWriter } from '@gatehouse/denylist';
import { createTestIssuer, realServer, startRedis } from '@gatehouse/test-kit';
import { createLogger, createMetrics, openGuard } from '../src/index.ts';

/** A guard with what it tells the log, which can be waited for. */
function openTestGuard(
  t: TestContext,
  variables: { JWKS_URI: string; REDIS_URL?: string; DENYLIST?: 'none' },
) {
  const told: string[] = [];
  const waiting = new Map<string, () => void>();
  const write = (line: string) => {
    const { msg } = JSON.parse(line);
    told.push(msg);
    waiting.get(msg)?.();
  };
  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  const guard = openGuard(
    {
      name: 'test',
      config: { ISSUER: 'http://localhost:8080', ...variables },
      audiences: ['urn:test'],
      logger: createLogger({ level: 'info' }, { write }),
      metrics: createMetrics('test'),
    },
    opened,
  );
  return {
    ...guard,
    told,
    untilTold: (msg: string) =>
      told.includes(msg) ? undefined : new Promise<void>((resolve) => waiting.set(msg, resolve)),
  };
}

test(
  'the log tells when the denylist cannot be read, and when it is read again, once each',
  realServer('redis', { own: true }),
  async (t) => {
    const [issuer, redis] = [await createTestIssuer(), await startRedis(t, { own: true })];
    t.after(issuer.close);
    const complete = async () => {
      const writer = createRedisDenylistWriter({ url: redis.url });
      if (!(await writer.isComplete())) await writer.markComplete();
      await writer.close();
    };
    await complete();
    const guard = openTestGuard(t, { JWKS_URI: issuer.jwksUri, REDIS_URL: redis.url });
    await guard.checks.denylist();
    await redis.stop();
    await guard.untilTold('the denylist cannot be read');
    await redis.restart();
    await complete();
    await guard.untilTold('the denylist is read again');
    assert.equal(guard.told.length, 2);
  },
);

test('the log tells when the keys of the issuer cannot be refreshed, and when they are again, once each', async (t) => {
  const issuer = await createTestIssuer();
  t.after(issuer.close);
  issuer.jwks.answer = (res) => res.writeHead(503).end();
  const guard = openTestGuard(t, { JWKS_URI: issuer.jwksUri, DENYLIST: 'none' });
  await guard.untilTold('trouble with the keys of the issuer');
  issuer.jwks.answer = undefined;
  await guard.untilTold('the keys of the issuer are refreshed again');
  assert.equal(guard.told.length, 2);
});
