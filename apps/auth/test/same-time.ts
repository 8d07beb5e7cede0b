import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';

const median = (values: readonly number[]) =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN;

/**
 * Does both in turn, 200 times each, and fails when their medians are 5 ms apart; where a busy machine stretches everything, a
 * tenth of the time that one takes.
 */
export async function assertSameTime(
  t: TestContext,
  one: () => Promise<unknown>,
  other: () => Promise<unknown>,
): Promise<void> {
  const timeOf = async (work: () => Promise<unknown>) => {
    const begun = performance.now();
    await work();
    return performance.now() - begun;
  };
  let [gap, bound] = [Number.POSITIVE_INFINITY, 5];
  // What a busy machine adds is there once; what the server tells is there each time.
  for (let round = 0; round < 3 && gap >= bound; round += 1) {
    const times: [number[], number[]] = [[], []];
    for (let sample = 0; sample < 200; sample += 1) {
      times[0].push(await timeOf(one));
      times[1].push(await timeOf(other));
    }
    const [ofOne, ofOther] = [median(times[0]), median(times[1])];
    gap = Math.abs(ofOne - ofOther);
    bound = Math.max(5, ofOne / 10);
  }
  t.diagnostic(`the medians are ${gap.toFixed(1)} ms apart`);
  assert.ok(gap < bound, `the medians are ${gap} ms apart, and may be ${bound}`);
}
