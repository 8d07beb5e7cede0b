import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRedisDenylistWriter } from '@gatehouse/denylist';
import { createTestIssuer, realServer, startRedis } from '@gatehouse/test-kit';
import { createLogger, createMetrics, openGuard } from '../src/index.ts';

test(
  'the log tells when the denylist cannot be read, and when it is read again, once each',
  realServer('redis', { own: true }),
  async (t) => {
    const [issuer, redis] = [await createTestIssuer(), await startRedis(t, { own: true })];
    t.after(issuer.close);
    const told: string[] = [];
    const isTold = new EventTarget();
    const write = (line: string) => {
      told.push(JSON.parse(line).msg);
      isTold.dispatchEvent(new Event(String(told.length)));
    };
    const countOf = (count: number) =>
      new Promise((resolve) => isTold.addEventListener(String(count), resolve, { once: true }));
    const complete = async () => {
      const writer = createRedisDenylistWriter({ url: redis.url });
      if (!(await writer.isComplete())) await writer.markComplete();
      await writer.close();
    };
    await complete();

    await using opened = new AsyncDisposableStack();
    const guard = openGuard(
      {
        name: 'test',
        config: { ISSUER: issuer.issuer, JWKS_URI: issuer.jwksUri, REDIS_URL: redis.url },
        audiences: ['urn:test'],
        logger: createLogger({ level: 'info' }, { write }),
        metrics: createMetrics('test'),
      },
      opened,
    );
    await guard.checks.denylist();
    const [first, second] = [countOf(1), countOf(2)];
    await redis.stop();
    await first;
    await redis.restart();
    await complete();
    await second;
    assert.deepEqual(told, ['the denylist cannot be read', 'the denylist is read again']);
  },
);
