import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromSomewhere } from './registering.ts';
import { authorizeUrl, startTestAuth } from './start-test-auth.ts';

test('A46 a name that nobody has is refused as late as a wrong password', async (t) => {
  const auth = await startTestAuth();
  t.after(() => auth.close());
  const attempts = {
    unknown: { username: 'nobody-at-all', password: 'not-the-password' },
    wrong: { username: 'alice', password: 'not-the-password' },
  };
  const names = Object.keys(attempts) as (keyof typeof attempts)[];
  const browser = auth.browser();
  const form = await browser.open(authorizeUrl());
  const median = (values: number[]) => values.sort((one, other) => one - other)[values.length / 2] ?? 0;

  async function gapOfMedians(): Promise<number> {
    const times = { unknown: [] as number[], wrong: [] as number[] };
    for (let sample = 0; sample < 200; sample += 1) {
      for (const name of names) {
        const begun = performance.now();
        const { status } = await browser.submit(form, attempts[name], { headers: fromSomewhere() });
        times[name].push(performance.now() - begun);
        assert.equal(status, 401);
      }
    }
    return Math.abs(median(times.unknown) - median(times.wrong));
  }

  let gap = Number.POSITIVE_INFINITY;
  // What a busy machine adds is there once; what the server tells is there each time.
  for (let round = 0; round < 3 && gap >= 5; round += 1) gap = await gapOfMedians();
  t.diagnostic(`the medians are ${gap.toFixed(1)} ms apart`);
  assert.ok(gap < 5, `the medians are ${gap} ms apart`);
});
