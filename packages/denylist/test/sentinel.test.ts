import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { realServer, startRedis, startSentinel } from '@gatehouse/test-kit';
import { createRedisDenylistReader, createRedisDenylistWriter, DenylistUnavailable } from '../src/index.ts';
import { inFiveMinutes, token, until } from './tokens.ts';

const own = { own: true };

describe('a Redis of several, with sentinels', realServer('redis', own), () => {
  test('R27 a failover under a hundred revocations a second: what was acknowledged is revoked, then and after it', async (t) => {
    const primary = await startRedis(t, own);
    const { port } = new URL(primary.url);
    const replica = { ...own, args: ['--replicaof', '127.0.0.1', port, '--repl-diskless-sync-delay', '0'] };
    const replicas = await Promise.all([startRedis(t, replica), startRedis(t, replica)]);
    const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(t, primary)));
    const url = `redis+sentinel://${sentinels.map((sentinel) => new URL(sentinel.url).host).join(',')}/main`;
    const writer = createRedisDenylistWriter({ url });
    const reader = createRedisDenylistReader({ url });
    t.after(() => Promise.all([writer.close(), reader.close()]));

    // As auth does: all is in a database first, and goes to the denylist anew whenever that may have lost some.
    const jtis: string[] = [];
    const undelivered = new Set<string>();
    const exp = inFiveMinutes();
    const append = async (some: readonly string[]) => {
      await writer.append(some.map((jti) => ({ jti, exp })));
      for (const jti of some) undelivered.delete(jti);
    };
    const deliver = async () => {
      const isComplete = await writer.isComplete();
      await append([...(isComplete ? undelivered : jtis)]);
      if (!isComplete) await writer.markComplete();
    };
    const acknowledged: { jti: string; at: number }[] = [];
    let failures = 0;
    let isOver = false;
    const work = (async () => {
      for (let next = 0; !isOver; await delay(10)) {
        const jti = randomUUID();
        jtis.push(jti);
        undelivered.add(jti);
        const appended = append([jti]).then(
          () => void acknowledged.push({ jti, at: performance.now() }),
          () => void failures++,
        );
        if (performance.now() < next) continue;
        next = performance.now() + 200;
        await appended;
        await deliver().catch((error) => assert.ok(error instanceof DenylistUnavailable));
      }
    })();
    t.after(() => {
      isOver = true;
      return work;
    });

    const wrong = () => {
      // The reader may be that much behind.
      const known = acknowledged.filter(({ at }) => at < performance.now() - 1_000);
      return known.filter(({ jti }) => !reader.isRevoked(token({ jti }))).length;
    };
    await reader.ready();
    await until(() => acknowledged.length > 100);
    await until(() => wrong() === 0);
    for (const { pause } of replicas) pause();
    const alone = append([randomUUID()]);
    await assert.rejects(alone, DenylistUnavailable, 'the primary alone would lose it');
    for (const { resume } of replicas) resume();

    const before = acknowledged.length;
    await primary.kill();
    const beginning = failures;
    let verdicts = 0;
    let mistakes = 0;
    await until(() => {
      try {
        mistakes += wrong();
        verdicts += 1;
      } catch (error) {
        if (!(error instanceof DenylistUnavailable)) throw error;
      }
      return acknowledged.length > before + 100;
      // On a busy machine the sentinels need several elections.
    }, 90_000);
    assert.equal(mistakes, 0);
    assert.ok(verdicts > 0 && failures > beginning, `${verdicts} verdicts, ${failures - beginning} failures`);
    isOver = true;
    await work;
    await until(() => deliver().then(() => undelivered.size === 0));
    await until(() => jtis.every((jti) => reader.isRevoked(token({ jti }))));
  });
});
