import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createExpiringIds } from '../src/expiring-ids.ts';

/** The collection beside a Map that must hold the same. */
function createPair(name: string) {
  const ids = createExpiringIds();
  const model = new Map<string, number>();
  const ever: string[] = [];
  return {
    prolong(number: number, exp: number) {
      const id = `${name} ${number}`;
      ids.prolong(id, exp);
      model.set(id, Math.max(exp, model.get(id) ?? 0));
      ever.push(id);
    },
    forgetBefore(oldest: number) {
      ids.forgetBefore(oldest);
      for (const [id, exp] of model) if (exp < oldest) model.delete(id);
    },
    requireSame() {
      assert.equal(ids.size(), model.size);
      for (const id of ever) assert.equal(ids.has(id), model.has(id), id);
    },
  };
}

test('ids are kept and forgotten as in a Map, in a table so full that they stand in the places of each other', () => {
  // Each table has other ids at its end, of which some go on at its beginning.
  for (let table = 0; table < 40; table++) {
    const pair = createPair(`table ${table}`);
    for (let i = 0; i < 760; i++) pair.prolong(i, 1 + ((i * 31) % 100));
    for (let i = 0; i < 760; i += 7) pair.prolong(i, 1 + ((i * 17) % 100));
    pair.requireSame();
    for (const oldest of [1, 30, 60, 90, 101]) {
      pair.forgetBefore(oldest);
      pair.requireSame();
    }
  }
});

test('the same while their number grows and shrinks', () => {
  const pair = createPair('id');
  let next = 0;
  for (const [added, oldest] of [
    [9_000, 20],
    [3_000, 99],
    [200, 99],
    [600, 101],
  ] as const) {
    for (let i = 0; i < added; i++) pair.prolong(next++, 1 + ((next * 31) % 100));
    pair.requireSame();
    pair.forgetBefore(oldest);
    pair.requireSame();
  }
});

test('no time, however odd, makes an id forgotten too early', () => {
  const ids = createExpiringIds();
  for (const exp of [0, -1, 1000.2, 2 ** 33, Number.MAX_VALUE]) ids.prolong(`until ${exp}`, exp);
  ids.forgetBefore(1);
  assert.equal(ids.size(), 5);
  ids.forgetBefore(1000.1);
  assert.equal(ids.has('until 1000.2'), true);
  ids.forgetBefore(2 ** 32 - 1);
  assert.equal(ids.has(`until ${2 ** 33}`), true);
  assert.equal(ids.has(`until ${Number.MAX_VALUE}`), true);
  assert.equal(ids.size(), 2);
});

test('the room of a great many is given back when they are forgotten', { timeout: 20_000 }, async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const held = () => process.memoryUsage().arrayBuffers;
  const ids = createExpiringIds();
  for (let i = 0; i < 100_000; i++) ids.prolong(`id ${i}`, 1000);
  const full = held();
  ids.forgetBefore(1001);
  // V8 frees what it found to be garbage on another thread, some time later.
  while (held() > full - 5_000_000) {
    collectGarbage();
    await delay(10);
  }
  assert.equal(ids.has('id 1'), false);
});
