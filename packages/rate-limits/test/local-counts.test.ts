import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createLocalCounts } from '../src/index.ts';

suite('counts of one process', () => {
  test('are bounded in number, and the oldest makes room', () => {
    const counts = createLocalCounts(60_000, 3);
    for (const key of ['a', 'b', 'c']) assert.equal(counts.add(key).madeRoom, false);
    assert.equal(counts.add('a').madeRoom, false);
    assert.equal(counts.add('d').madeRoom, true);
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((key) => counts.find(key)?.count),
      [undefined, 1, 1, 1],
    );
  });

  test('end with their window, and what ended takes no room', async () => {
    const counts = createLocalCounts(20, 3);
    for (const key of ['a', 'b', 'c']) counts.add(key);
    const { counted } = counts.add('a');
    await delay(30);
    assert.equal(counts.find('a'), undefined);
    assert.equal(counts.add('d').madeRoom, false);
    // What was counted in a window that is over is not taken from the next.
    counts.add('a');
    counts.takeBack('a', counted);
    assert.equal(counts.find('a')?.count, 1);
  });
});
