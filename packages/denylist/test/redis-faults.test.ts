import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type RealServer, realServer, type ServerOptions, startRedis } from '@gatehouse/test-kit';
import { Redis } from 'ioredis';
import {
  createRedisDenylistReader,
  createRedisDenylistWriter,
  type DenylistReader,
  DenylistUnavailable,
  type DenylistWriter,
  type RedisDenylistReaderOptions,
} from '../src/index.ts';
import { append, inFiveMinutes, markComplete, token, until } from './tokens.ts';

const own = { own: true };
const stream = '{gatehouse:denylist}';
const marker = '{gatehouse:denylist}:complete';

describe('a Redis that fails', realServer('redis', own), () => {
  test('R20 stopped: verdicts stay right while the copy is young enough, then there are none; back: they return', async (t) => {
    const { redis, reader, writer } = await open(t, { maxAgeMs: 2000 }, ['--appendonly', 'yes']);
    await append(writer, [{ jti: 'revoked', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ jti: 'revoked' })));
    await redis.stop();
    assert.equal(reader.isRevoked(token({ jti: 'revoked' })), true);
    assert.equal(reader.isRevoked(token()), false);
    await until(() => isUnavailable(reader));
    assert.ok(reader.status().ageMs > 2000);
    await assert.rejects(writer.append([{ jti: 'another', exp: inFiveMinutes() }]), DenylistUnavailable);

    await redis.restart();
    await until(() => reader.isRevoked(token({ jti: 'revoked' })));
    assert.equal(reader.isRevoked(token()), false);
    await append(writer, [{ jti: 'another', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ jti: 'another' })));
  });

  test('R21 unless told otherwise a copy is served for five seconds', async (t) => {
    const { redis, reader } = await open(t);
    redis.pause();
    let oldest = 0;
    await until(() => {
      const { ageMs } = reader.status();
      if (isUnavailable(reader)) return true;
      oldest = ageMs;
      return false;
    });
    assert.ok(oldest > 4500 && oldest <= 5000, `the oldest copy served was ${oldest} ms old`);
    assert.ok(reader.status().ageMs > 5000);
    redis.resume();
  });

  test('after the machine was suspended, the copy is as old as it is, until it was read again', async (t) => {
    const { reader, writer } = await open(t);
    await append(writer, [{ jti: 'before', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ jti: 'before' })));
    const woken = Date.now() + 60_000;
    t.mock.timers.enable({ apis: ['Date'], now: woken });
    assert.ok(isUnavailable(reader));
    await until(() => !isUnavailable(reader));
    assert.equal(reader.isRevoked(token({ jti: 'before' })), true);
  });

  test('R29 a clock that is set back makes no copy younger', async (t) => {
    const { redis, reader } = await open(t, { maxAgeMs: 1000 });
    await redis.stop();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() - 3_600_000 });
    await until(() => isUnavailable(reader));
  });

  test('R21 frozen: the writer fails instead of waiting, the reader notices, and both heal', async (t) => {
    const { redis, reader, writer } = await open(t, { maxAgeMs: 2000 });
    redis.pause();
    const deadline = AbortSignal.timeout(1000);
    await assert.rejects(writer.append([{ jti: 'frozen', exp: inFiveMinutes() }]), DenylistUnavailable);
    await assert.rejects(writer.isComplete(), DenylistUnavailable);
    await assert.rejects(writer.markComplete(), DenylistUnavailable);
    assert.equal(deadline.aborted, false);
    await until(() => isUnavailable(reader));
    redis.resume();
    await append(writer, [{ jti: 'thawed', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ jti: 'thawed' })));
  });

  test('R23 behind a line that has gone silent: both leave it for a new one', async (t) => {
    const { redis, raw } = await open(t);
    const relay = await startRelay(t, Number(new URL(redis.url).port));
    const reader = createRedisDenylistReader({ url: relay.url, maxAgeMs: 2000 });
    const writer = createRedisDenylistWriter({ url: relay.url });
    t.after(() => Promise.all([reader.close(), writer.close()]));
    await reader.ready();
    assert.equal(await writer.isComplete(), false, 'what another writer has marked is not known to be all');
    relay.silence();
    await assert.rejects(writer.append([{ jti: 'unheard', exp: inFiveMinutes() }]), DenylistUnavailable);
    await raw.xadd(stream, '*', 'jti', 'meanwhile', 'exp', inFiveMinutes());
    await until(() => reader.isRevoked(token({ jti: 'meanwhile' })));
    await append(writer, [{ jti: 'heard', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ jti: 'heard' })));
  });

  test('R24 restarted empty: nobody trusts it until everything is replayed, and what was known stays known', async (t) => {
    const { redis, reader, writer } = await open(t, { maxAgeMs: 1000 });
    await append(writer, [{ jti: 'before', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ jti: 'before' })));
    await redis.kill();
    await redis.restart();
    const fresh = createRedisDenylistReader({ url: redis.url, maxAgeMs: 1000 });
    t.after(() => fresh.close());

    await until(() => writer.isComplete().then((complete) => complete === false));
    await append(writer, [{ jti: 'after', exp: inFiveMinutes() }]);
    await until(() => fresh.status().entries === 1 && reader.status().entries === 2);
    await until(() => isUnavailable(reader));
    assert.ok(isUnavailable(fresh));

    await append(writer, [{ jti: 'before', exp: inFiveMinutes() }]);
    await markComplete(writer);
    for (const one of [reader, fresh]) {
      await until(() => one.isRevoked(token({ jti: 'before' })));
      assert.equal(one.isRevoked(token({ jti: 'after' })), true);
      assert.equal(one.isRevoked(token()), false);
    }
  });

  test('R24 restarted with the marker and without the newest entry: not complete until everything is replayed', async (t) => {
    const { redis, raw, writer } = await open(t);
    assert.equal(await writer.isComplete(), false);
    await markComplete(writer);
    assert.equal(await writer.isComplete(), true);
    await raw.save();
    await append(writer, [{ jti: 'newest', exp: inFiveMinutes() }]);
    await redis.kill();
    await redis.restart();
    await until(() => writer.isComplete().then((complete) => complete === false));
    await append(writer, [{ jti: 'newest', exp: inFiveMinutes() }]);
    await markComplete(writer);
    assert.equal(await writer.isComplete(), true);
    const fresh = createRedisDenylistReader({ url: redis.url });
    t.after(() => fresh.close());
    await fresh.ready();
    assert.equal(fresh.isRevoked(token({ jti: 'newest' })), true);
  });

  test('R24 restarted empty while Redis was not reachable: a reader that knew much forgets nothing', async (t) => {
    const { redis, reader, writer } = await open(t, { maxAgeMs: 1000 });
    await append(writer, [{ gid: 'before', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ gid: 'before' })));
    await redis.kill();
    await until(() => isUnavailable(reader));
    await redis.restart();
    await markComplete(writer);
    await until(() => reader.isRevoked(token({ gid: 'before' })));
  });

  test('wiped and refilled between two reads, with lower ids: the whole log is read again', async (t) => {
    const { reader, raw } = await open(t);
    const wipe = raw.multi().flushall().xadd(stream, '5-1', 'jti', 'low', 'exp', inFiveMinutes());
    await wipe.set(marker, 'another history').exec();
    await until(() => reader.isRevoked(token({ jti: 'low' })));
  });

  test('wiped during a replay: it is not marked complete', async (t) => {
    const { writer, raw } = await open(t);
    await raw.flushall();
    assert.equal(await writer.isComplete(), false);
    await append(writer, [{ jti: 'replayed', exp: inFiveMinutes() }]);
    await raw.flushall();
    await assert.rejects(writer.markComplete(), DenylistUnavailable);
    assert.equal(await writer.isComplete(), false);
    await append(writer, [{ jti: 'replayed', exp: inFiveMinutes() }]);
    await markComplete(writer);
    assert.equal(await writer.isComplete(), true);
  });

  test('R25 full: what it did not take is reported with the reason, reading goes on', async (t) => {
    const { reader, writer, raw } = await open(t, { maxAgeMs: 1000 });
    await raw.config('SET', 'maxmemory', '1');
    await assert.rejects(writer.append([{ jti: 'lost', exp: inFiveMinutes() }]), (error) => {
      assert.ok(error instanceof DenylistUnavailable && error.cause instanceof Error);
      assert.match(error.cause.message, /^OOM /);
      return true;
    });
    await delay(2000);
    assert.equal(isUnavailable(reader), false);
    await raw.config('SET', 'maxmemory', '0');
    await append(writer, [{ jti: 'kept', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ jti: 'kept' })));
    assert.equal(reader.isRevoked(token({ jti: 'lost' })), false);
  });

  test('occupied by something else: what it did not take is reported', async (t) => {
    const { writer, raw } = await open(t);
    await raw.set(stream, 'not a stream');
    await assert.rejects(writer.append([{ jti: 'lost', exp: inFiveMinutes() }]), DenylistUnavailable);
  });

  test('never there: the fault is told once, and the reader is ready soon after Redis comes', async (t) => {
    const redis = await startRedis(t, own);
    await redis.stop();
    const faults: unknown[] = [];
    let recoveries = 0;
    const reader = createRedisDenylistReader({
      url: redis.url,
      onFault: (error) => faults.push(error),
      onRecovery: () => {
        recoveries += 1;
      },
    });
    const writer = createRedisDenylistWriter({ url: redis.url });
    t.after(() => Promise.all([reader.close(), writer.close()]));
    await until(() => faults.length > 0);
    await assert.rejects(writer.isComplete(), DenylistUnavailable);
    assert.equal(recoveries, 0);
    await delay(500);
    await redis.restart();
    await markComplete(writer);
    await reader.ready();
    assert.equal(faults.length, 1);
    assert.equal(recoveries, 1);
  });

  test('R22 pausing for three seconds: verdicts go on and stay right, the writer fails, and both heal', async (t) => {
    const pauses = {
      'CLIENT PAUSE': (raw: Redis) => raw.call('CLIENT', 'PAUSE', '3000', 'ALL'),
      'DEBUG SLEEP': (raw: Redis) => raw.call('DEBUG', 'SLEEP', '3'),
    };
    const paused = Object.values(pauses).map(async (pause) => {
      const { reader, writer, raw } = await open(t, {}, ['--enable-debug-command', 'local']);
      await append(writer, [{ jti: 'revoked', exp: inFiveMinutes() }]);
      await until(() => reader.isRevoked(token({ jti: 'revoked' })));
      const over = Promise.race([pause(raw), delay(10)]).then(() => delay(3_000));
      let isOver = false;
      over.then(() => {
        isOver = true;
      });
      await delay(20);
      await assert.rejects(writer.append([{ jti: 'unheard', exp: inFiveMinutes() }]), DenylistUnavailable);
      while (!isOver) {
        assert.equal(reader.isRevoked(token({ jti: 'revoked' })), true);
        assert.equal(reader.isRevoked(token()), false);
        await delay(50);
      }
      await append(writer, [{ jti: 'after', exp: inFiveMinutes() }]);
      await until(() => reader.isRevoked(token({ jti: 'after' })));
    });
    await Promise.all(paused);
  });

  test('R26 a Redis that evicts or is a replica: not ready, the fault says why, and it heals', async (t) => {
    const { redis, writer, raw } = await open(t);
    await append(writer, [{ jti: 'revoked', exp: inFiveMinutes() }]);
    const settings: [fault: RegExp, make: () => Promise<unknown>, mend: () => Promise<unknown>][] = [
      [
        /^RedisUnfit: maxmemory-policy of Redis must be noeviction, and is allkeys-lru$/,
        () => raw.config('SET', 'maxmemory-policy', 'allkeys-lru'),
        () => raw.config('SET', 'maxmemory-policy', 'noeviction'),
      ],
      [
        /^RedisUnfit: Redis must be a primary, and is a replica$/,
        () => raw.replicaof('127.0.0.1', '1'),
        () => raw.replicaof('NO', 'ONE'),
      ],
    ];
    for (const [fault, make, mend] of settings) {
      await make();
      const faults: unknown[] = [];
      const reader = createRedisDenylistReader({ url: redis.url, onFault: (error) => faults.push(error) });
      t.after(() => reader.close());
      await until(() => faults.length > 0);
      assert.match(String(faults[0]), fault);
      assert.ok(isUnavailable(reader));
      await mend();
      await until(() => reader.isRevoked(token({ jti: 'revoked' })));
    }
  });

  test('R26 a wrong password: not ready, and the fault says why', async (t) => {
    const redis = await startRedis(t, { own: true, args: ['--requirepass', 'right'] });
    const faults: unknown[] = [];
    const url = redis.url.replace('//', '//:wrong@');
    const reader = createRedisDenylistReader({ url, onFault: (error) => faults.push(error) });
    t.after(() => reader.close());
    await until(() => faults.length > 0);
    assert.match(String(faults[0]), /WRONGPASS|NOAUTH/);
    assert.ok(isUnavailable(reader));
  });
});

describe('the log in Redis', realServer('redis', own), () => {
  test('a reader that starts late knows every unexpired revocation of before', async (t) => {
    const { redis, writer } = await open(t);
    await append(
      writer,
      Array.from({ length: 2500 }, (_, i) => ({ jti: `token ${i}`, exp: inFiveMinutes() })),
    );
    const late = createRedisDenylistReader({ url: redis.url });
    t.after(() => late.close());
    await late.ready();
    assert.equal(late.status().entries, 2500);
    assert.equal(late.isRevoked(token({ jti: 'token 0' })), true);
  });

  test('two readers both learn of a revocation from a third process', async (t) => {
    const { redis, reader, writer } = await open(t);
    const second = createRedisDenylistReader({ url: redis.url });
    t.after(() => second.close());
    await second.ready();
    await append(writer, [{ jti: 'revoked', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ jti: 'revoked' })), 1000);
    await until(() => second.isRevoked(token({ jti: 'revoked' })), 1000);
  });

  test('denylists of different names in one Redis do not mix', async (t) => {
    const { redis, writer } = await open(t);
    const other = createRedisDenylistReader({ url: redis.url, name: 'other' });
    const otherWriter = createRedisDenylistWriter({ url: redis.url, name: 'other' });
    t.after(() => Promise.all([other.close(), otherWriter.close()]));
    await markComplete(otherWriter);
    await other.ready();
    await append(writer, [{ jti: 'revoked', exp: inFiveMinutes() }]);
    await append(otherWriter, [{ jti: 'last', exp: inFiveMinutes() }]);
    await until(() => other.isRevoked(token({ jti: 'last' })));
    assert.equal(other.isRevoked(token({ jti: 'revoked' })), false);
  });

  test('malformed entries are passed over', async (t) => {
    const { reader, writer, raw } = await open(t);
    const odd = [
      ['nonsense', ''],
      ['jti', 'no expiry'],
      ['jti', 'bad expiry', 'exp', 'soon'],
      ['jti', 'empty expiry', 'exp', ''],
      ['jti', '', 'exp', '9999999999'],
      ['sub', 'no moment', 'exp', '9999999999'],
      ['exp', '9999999999'],
    ];
    for (const fields of odd) await raw.xadd(stream, '*', ...fields);
    await append(writer, [{ jti: 'sound', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ jti: 'sound' })));
    assert.equal(reader.status().entries, 1);
  });

  test('a marker that is something else does not make a log complete', async (t) => {
    const redis = await startRedis(t, own);
    const raw = await connect(t, redis);
    await raw.lpush(marker, 'not a string');
    const reader = createRedisDenylistReader({ url: redis.url });
    t.after(() => reader.close());
    await raw.xadd(stream, '*', 'jti', 'a', 'exp', inFiveMinutes());
    await assert.rejects(Promise.race([reader.ready(), rejectAfter(500)]), /not ready/);
  });

  test('a write trims what is older than the window, and only that', async (t) => {
    const { writer, raw } = await open(t);
    const twoHoursAgo = Date.now() - 2 * 3600 * 1000;
    await raw.del(stream);
    for (let i = 0; i < 1000; i++)
      await raw.xadd(stream, `${twoHoursAgo}-${i}`, 'jti', `old ${i}`, 'exp', '1');
    const lately = Date.now() - 50 * 60 * 1000;
    for (let i = 0; i < 1000; i++) await raw.xadd(stream, `${lately}-${i}`, 'jti', `new ${i}`, 'exp', '1');
    await append(writer, [{ jti: 'now', exp: inFiveMinutes() }]);
    // Redis trims whole nodes of about a hundred entries.
    await until(async () => (await raw.xlen(stream)) < 1200);
    assert.equal((await raw.xrange(stream, lately, lately)).length, 1000);
  });

  test('an expiry beyond the window is refused, since the log would forget it too early', async (t) => {
    const { writer } = await open(t);
    for (const exp of [Date.now() / 1000 + 3700, Number.NaN, Number.POSITIVE_INFINITY]) {
      await assert.rejects(writer.append([{ jti: 'a', exp }]), RangeError);
    }
  });
});

interface Opened {
  redis: RealServer;
  reader: DenylistReader;
  writer: DenylistWriter;
  raw: Redis;
}

/** A Redis of its own with a complete denylist, and a client to do harm with. */
async function open(
  t: TestContext,
  options: Partial<RedisDenylistReaderOptions> = {},
  args: ServerOptions['args'] = [],
): Promise<Opened> {
  const redis = await startRedis(t, { own: true, args });
  const reader = createRedisDenylistReader({ url: redis.url, ...options });
  const writer = createRedisDenylistWriter({ url: redis.url });
  t.after(() => Promise.all([reader.close(), writer.close()]));
  await markComplete(writer);
  await reader.ready();
  return { redis, reader, writer, raw: await connect(t, redis) };
}

async function connect(t: TestContext, { url }: RealServer): Promise<Redis> {
  const raw = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  raw.on('error', () => {});
  t.after(() => raw.disconnect());
  await raw.connect();
  return raw;
}

/** Passes bytes on to `port`; silence() stops that for the connections there are, without closing them. */
async function startRelay(t: TestContext, port: number): Promise<{ url: string; silence(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connectSocket(port, '127.0.0.1');
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => {}));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    silence() {
      for (const socket of sockets) socket.unpipe().pause();
    },
  };
}

function isUnavailable(reader: DenylistReader): boolean {
  try {
    reader.isRevoked(token());
    return false;
  } catch (error) {
    assert.ok(error instanceof DenylistUnavailable);
    return true;
  }
}

function rejectAfter(ms: number): Promise<never> {
  return new Promise((_, reject) => setTimeout(reject, ms, new Error('not ready')));
}
