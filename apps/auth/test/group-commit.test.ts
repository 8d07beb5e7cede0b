import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createGroupCommit } from '../src/audit/group-commit.ts';

suite('group commit', () => {
  /** A store whose writes last until they are let go. */
  function slowStore({ mostWaiting = 100, mostAtOnce = 50 } = {}) {
    const writes: { items: readonly string[]; end(error?: Error): void }[] = [];
    const group = createGroupCommit<string>(
      (items) =>
        new Promise((resolve, reject) =>
          writes.push({ items, end: (error) => (error ? reject(error) : resolve()) }),
        ),
      { mostWaiting, mostAtOnce },
    );
    const next = async (index: number) => {
      while (writes[index] === undefined) await new Promise((resolve) => setImmediate(resolve));
      return writes[index];
    };
    return { group, writes, next };
  }
  const away = Object.assign(new Error('away'), { code: 'ECONNREFUSED' });

  test('what comes together is one write, what comes meanwhile is the next, each in its order', async () => {
    const { group, writes, next } = slowStore();
    const first = Promise.all(['a', 'b'].map((item) => group.add(item)));
    const write = await next(0);
    const second = Promise.all(['c', 'd'].map((item) => group.add(item)));
    write.end();
    await first;
    (await next(1)).end();
    await second;
    assert.deepEqual(
      writes.map(({ items }) => items),
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    );
  });

  test('nobody goes on before the write that holds his item has ended', async () => {
    const { group, next } = slowStore();
    let isDone = false;
    const added = group.add('a').then(() => {
      isDone = true;
    });
    const write = await next(0);
    assert.equal(isDone, false);
    write.end();
    await added;
  });

  test('one more than may wait is refused with 503', async () => {
    const { group, next } = slowStore({ mostWaiting: 2 });
    const first = group.add('a');
    const write = await next(0);
    const waiting = [group.add('b'), group.add('c')];
    await assert.rejects(group.add('d'), { status: 503 });
    write.end();
    await first;
    (await next(1)).end();
    await Promise.all(waiting);
  });

  test('a store that is away fails all that wait, at once, and is asked again by the next', async () => {
    const { group, writes, next } = slowStore();
    const first = group.add('a');
    const write = await next(0);
    const second = group.add('b');
    write.end(away);
    await assert.rejects(first, away);
    await assert.rejects(second, away);
    assert.equal(writes.length, 1);
    const third = group.add('c');
    (await next(1)).end();
    await third;
  });

  test('an item that is not taken fails alone', async () => {
    const written: string[] = [];
    const group = createGroupCommit<string>(
      async (items) => {
        if (items.includes('bad')) throw new Error('bad');
        written.push(...items);
      },
      { mostWaiting: 10, mostAtOnce: 10 },
    );
    const results = await Promise.allSettled(['a', 'bad', 'b'].map((item) => group.add(item)));
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(written, ['a', 'b']);
  });
});
