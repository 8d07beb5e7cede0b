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

  test('make room in the order in which they began, whatever was forgotten, taken back or begun anew in between', () => {
    const counts = createLocalCounts(60_000, 3);
    const found = (keys: string) => [...keys].filter((key) => counts.find(key));
    const [a] = ['a', 'b', 'c'].map((key) => counts.add(key).counted);
    assert.equal(counts.add('d').madeRoom, true, 'a has gone');
    counts.forget('b');
    assert.equal(counts.add('b').madeRoom, false);
    counts.takeBack('c', counts.find('c') ?? { count: 0, endsAt: 0 });
    assert.equal(counts.find('c'), undefined);
    assert.equal(counts.add('e').madeRoom, false);
    assert.equal(counts.add('f').madeRoom, true, 'd has gone');
    assert.equal(counts.add('g').madeRoom, true, 'b has gone');
    assert.deepEqual(found('bcdefg'), ['e', 'f', 'g']);
    for (const key of ['e', 'f', 'g']) counts.forget(key);
    assert.ok(counts.isEmpty());
    if (a) counts.takeBack('a', a);
    for (const key of ['h', 'i', 'j', 'k', 'l']) counts.add(key);
    assert.deepEqual(found('efghijkl'), ['j', 'k', 'l']);
  });

  test('are raised to what others have counted, never lowered, and end when those do', async () => {
    const counts = createLocalCounts(60_000, 2);
    counts.add('a');
    counts.raise('a', 5, 60_000);
    counts.raise('a', 3, 60_000);
    assert.equal(counts.find('a')?.count, 5);
    counts.raise('b', 5, 20);
    assert.equal(counts.find('b')?.count, 5);
    await delay(30);
    assert.equal(counts.find('b'), undefined);
    assert.equal(counts.add('b').madeRoom, false);
  });

  test('end with their window, and what ended takes no room', async () => {
    const counts = createLocalCounts(20, 3);
    for (const key of ['a', 'b', 'c']) counts.add(key);
    const { counted } = counts.add('a');
    await delay(30);
    assert.ok(counts.isEmpty());
    assert.equal(counts.find('a'), undefined);
    assert.equal(counts.add('d').madeRoom, false);
    // What was counted in a window that is over is not taken from the next.
    counts.add('a');
    for (let times = 0; times < 2; times++) counts.takeBack('a', counted);
    assert.equal(counts.find('a')?.count, 1);
  });
});
