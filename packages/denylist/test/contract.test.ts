import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import { realServer, startRedis } from '@gatehouse/test-kit';
import {
  createMemoryDenylist,
  createRedisDenylistReader,
  createRedisDenylistWriter,
  type DenylistReader,
  DenylistUnavailable,
  type DenylistWriter,
} from '../src/index.ts';
import { append, inFiveMinutes, markComplete, token, until } from './tokens.ts';

interface Pair {
  reader: DenylistReader;
  writer: DenylistWriter;
}

describe('in memory', () =>
  contract(async () => {
    const denylist = createMemoryDenylist();
    return { reader: denylist, writer: denylist };
  }));

describe('in Redis', realServer('redis'), () =>
  contract(async (t) => {
    const { url } = await startRedis(t);
    const name = randomUUID();
    return {
      reader: createRedisDenylistReader({ url, name }),
      writer: createRedisDenylistWriter({ url, name }),
    };
  }),
);

/** What holds for a denylist wherever it is kept. */
function contract(create: (t: TestContext) => Promise<Pair>): void {
  async function open(t: TestContext): Promise<Pair> {
    const pair = await create(t);
    t.after(() => Promise.all([pair.reader.close(), pair.writer.close()]));
    // A writer does not queue, so it may be asked too early.
    await until(() => pair.writer.isComplete().then((complete) => complete === false));
    return pair;
  }

  async function openComplete(t: TestContext): Promise<Pair> {
    const pair = await open(t);
    await markComplete(pair.writer);
    await pair.reader.ready();
    return pair;
  }

  test('answers nothing before it is complete, whatever it holds', async (t) => {
    const { reader, writer } = await open(t);
    await append(writer, [{ jti: 'revoked', exp: inFiveMinutes() }]);
    await until(() => reader.status().entries === 1);
    assert.throws(() => reader.isRevoked(token({ jti: 'revoked' })), DenylistUnavailable);
    assert.equal(reader.status().ageMs, Number.POSITIVE_INFINITY);
    assert.equal(await writer.isComplete(), false);

    await markComplete(writer);
    await reader.ready();
    assert.equal(await writer.isComplete(), true);
    assert.equal(reader.isRevoked(token({ jti: 'revoked' })), true);
    assert.ok(reader.status().ageMs < 5000);
  });

  test('a token that nobody revoked is not revoked', async (t) => {
    const { reader } = await openComplete(t);
    assert.equal(reader.isRevoked(token()), false);
    assert.equal(reader.isRevoked(token({ jti: '', sub: '', gid: '' })), false);
  });

  test('a revoked token is revoked, and no other token of its grant', async (t) => {
    const { reader, writer } = await openComplete(t);
    await append(writer, [{ jti: 'this', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ jti: 'this' })));
    assert.equal(reader.isRevoked(token({ jti: 'other' })), false);
  });

  test('a revoked grant takes all its tokens with it, and none of another grant or of no grant', async (t) => {
    const { reader, writer } = await openComplete(t);
    await append(writer, [{ gid: 'this', exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ gid: 'this' })));
    assert.equal(reader.isRevoked(token({ gid: 'other' })), false);
    assert.equal(reader.isRevoked(token({ gid: undefined })), false);
    assert.equal(reader.isRevoked(token({ jti: 'this', sub: 'this' })), false);
  });

  test('a revoked subject loses the tokens issued before the moment, and keeps those issued at it or later', async (t) => {
    const { reader, writer } = await openComplete(t);
    await append(writer, [{ sub: 'bob', notBefore: 1000, exp: inFiveMinutes() }]);
    await until(() => reader.isRevoked(token({ sub: 'bob', iat: 999 })));
    assert.equal(reader.isRevoked(token({ sub: 'bob', iat: 1000 })), false);
    assert.equal(reader.isRevoked(token({ sub: 'alice', iat: 999 })), false);
  });

  test('a revocation that arrives late or twice takes nothing back', async (t) => {
    const { reader, writer } = await openComplete(t);
    await append(writer, [
      { sub: 'bob', notBefore: 1000, exp: inFiveMinutes() },
      { sub: 'bob', notBefore: 500, exp: inFiveMinutes() - 100 },
      { sub: 'carol', notBefore: 500, exp: inFiveMinutes() },
      { sub: 'carol', notBefore: 1000, exp: inFiveMinutes() },
      { jti: 'last', exp: inFiveMinutes() },
    ]);
    await until(() => reader.isRevoked(token({ jti: 'last' })));
    assert.equal(reader.isRevoked(token({ sub: 'bob', iat: 999 })), true);
    assert.equal(reader.isRevoked(token({ sub: 'carol', iat: 999 })), true);
  });

  test('ids of any form are kept apart', async (t) => {
    const { reader, writer } = await openComplete(t);
    const ids = [
      '__proto__',
      'constructor',
      'a b',
      'a\r\nb',
      'jti',
      '\u0000',
      'ünïcödé 🗝️',
      'x'.repeat(10_000),
    ];
    await append(
      writer,
      ids.map((jti) => ({ jti, exp: inFiveMinutes() })),
    );
    await until(() => reader.status().entries === ids.length);
    for (const jti of ids) assert.equal(reader.isRevoked(token({ jti })), true, jti);
    for (const jti of ['toString', 'a', 'a  b', 'x'.repeat(9999)]) {
      assert.equal(reader.isRevoked(token({ jti })), false, jti);
    }
  });

  test('more revocations than one batch arrive, and none at all is no fault', async (t) => {
    const { reader, writer } = await openComplete(t);
    await append(writer, []);
    await append(
      writer,
      Array.from({ length: 2500 }, (_, i) => ({ jti: `token ${i}`, exp: inFiveMinutes() })),
    );
    await until(() => reader.status().entries === 2500);
    assert.equal(reader.isRevoked(token({ jti: 'token 2499' })), true);
  });

  test('a closed one answers and takes nothing', async (t) => {
    const { reader, writer } = await openComplete(t);
    await reader.close();
    assert.throws(() => reader.isRevoked(token()), DenylistUnavailable);
    await writer.close();
    await assert.rejects(writer.append([{ jti: 'late', exp: inFiveMinutes() }]), DenylistUnavailable);
  });

  test('who waits for one that is closed instead is told so', async (t) => {
    const { reader } = await open(t);
    const waiting = assert.rejects(reader.ready(), DenylistUnavailable);
    await reader.close();
    await waiting;
  });
}
