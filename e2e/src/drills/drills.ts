import { setTimeout as delay } from 'node:timers/promises';
import { availability, type Load, type Outcome, p99, statuses } from './load.ts';
import type { Member, Processes } from './processes.ts';

/** One fault, done to a system under load. */
export interface Drill {
  /** As in the titles of the tests. */
  id: string;
  fault: string;
  expected: string;
  /** Does the fault, mends it, and tells what was measured. */
  run(system: Processes, load: Load): Promise<Finding>;
}

export interface Finding {
  measured: string;
  /** Whether it was as expected. Wrong verdicts are looked for besides. */
  holds: boolean;
}

const below = (path: string) => (outcome: Outcome) => outcome.path === path;
const isGood = ({ kind }: Outcome) => kind === 'good token';
const ms = (milliseconds: number) => `${Math.round(milliseconds)} ms`;
const percent = (value: number) => `${Math.round(value * 10) / 10} %`;

/** What was sent from `fromMs` until `toMs`, and is answered. */
const sent = (load: Load, fromMs: number, toMs = Number.POSITIVE_INFINITY) =>
  load.outcomes().filter(({ atMs }) => atMs >= fromMs && atMs < toMs);

/** When the first of these was answered like that, since `fromMs`. */
function firstAfter(load: Load, fromMs: number, is: (outcome: Outcome) => boolean): number {
  const found = sent(load, fromMs).find(is);
  return found === undefined ? Number.NaN : found.atMs - fromMs;
}

async function untilHealed(load: Load, is: (outcome: Outcome) => boolean = isGood): Promise<number> {
  const from = load.now();
  for (const giveUpAt = from + 20_000; load.now() < giveUpAt; await delay(20)) {
    const healed = firstAfter(load, from, (outcome) => is(outcome) && outcome.status === 200);
    if (!Number.isNaN(healed)) return healed;
  }
  return Number.NaN;
}

/** A Redis that goes away as `begin` does and comes back as `end` does. */
const withoutRedis = (
  fault: Pick<Drill, 'id' | 'fault'>,
  begin: (system: Processes) => unknown,
  end: (system: Processes) => unknown,
): Drill => ({
  ...fault,
  expected: 'the denylist’s copy serves for 5 s, then 503; healed within 1 s of its return',
  async run(system, load) {
    const from = load.now();
    await begin(system);
    await delay(9_000);
    const refusedAt = firstAfter(load, from, (outcome) => isGood(outcome) && outcome.status === 503);
    const late = sent(load, from + 7_000).filter(isGood);
    await end(system);
    const healedAfter = await untilHealed(load);
    return {
      measured: `200 for ${ms(refusedAt)}, then ${statuses(late)}; healed after ${ms(healedAfter)}`,
      holds:
        refusedAt > 3_000 &&
        refusedAt < 6_500 &&
        late.every(({ status }) => status === 503) &&
        healedAfter < 2_000,
    };
  },
});

/** A service behind the gateway that goes away as `begin` does. */
const withoutItems = (
  fault: Pick<Drill, 'id' | 'fault' | 'expected'>,
  begin: (items: Member) => void,
  end: (items: Member) => unknown,
  statusesOfItems: readonly number[],
): Drill => ({
  ...fault,
  async run({ members: { items } }, load) {
    await delay(2_000);
    const before = sent(load, 0).filter(below('/users/me'));
    const from = load.now();
    begin(items);
    await delay(9_000);
    const [ofItems, ofUsers] = ['/items', '/users/me'].map((path) =>
      sent(load, from + 200, load.now() - 2_500).filter((outcome) => isGood(outcome) && below(path)(outcome)),
    ) as [Outcome[], Outcome[]];
    const refused = ofItems.filter(({ status }) => status === 503);
    await end(items);
    const healedAfter = await untilHealed(load, (outcome) => isGood(outcome) && outcome.path === '/items');
    return {
      measured: `/items ${statuses(ofItems)}, p99 of 503 ${ms(p99(refused))}; /users/me ${statuses(ofUsers)}, p99 ${ms(p99(ofUsers))} (before: ${ms(p99(before))}); healed after ${ms(healedAfter)}`,
      holds:
        refused.length > 0 &&
        ofItems.every(({ status }) => statusesOfItems.includes(status ?? 0)) &&
        ofUsers.every(({ status }) => status === 200) &&
        healedAfter < 5_000,
    };
  },
});

/** In the order in which they are done. */
export const drills: readonly Drill[] = [
  withoutItems(
    {
      id: 'R01',
      fault: 'items killed (SIGKILL), started again',
      expected: '/items 503 at once, everything else as ever; heals by itself',
    },
    (items) => items.signal('SIGKILL'),
    (items) => items.start(),
    [502, 503],
  ),
  withoutItems(
    {
      id: 'R03 R06',
      fault: 'items frozen (SIGSTOP), thawed',
      expected: '/items 504 at the deadline, then 503 at once; everything else as ever; heals by itself',
    },
    (items) => items.signal('SIGSTOP'),
    (items) => items.signal('SIGCONT'),
    [503, 504],
  ),
  {
    id: 'R10 R15',
    fault: 'auth killed (SIGKILL) for 8 s, started again',
    expected: 'every API goes on: 100 %; /token 503 with Retry-After',
    async run({ members: { auth, gateway } }, load) {
      const from = load.now();
      auth.signal('SIGKILL');
      await delay(500);
      const asked = await fetch(`${gateway.url}/token`, {
        method: 'POST',
        body: new URLSearchParams({ grant_type: 'refresh_token' }),
      });
      await delay(7_500);
      const meanwhile = sent(load, from);
      const available = availability(meanwhile);
      await auth.start();
      const retryAfter = asked.headers.get('retry-after');
      return {
        measured: `${percent(available)} of ${meanwhile.length} requests; /token ${asked.status}, Retry-After ${retryAfter}`,
        holds: available === 100 && asked.status === 503 && retryAfter !== null,
      };
    },
  },
  withoutRedis(
    { id: 'R20 R24', fault: 'Redis killed (SIGKILL), started again with nothing in it' },
    ({ redis }) => redis.kill(),
    ({ redis }) => redis.restart(),
  ),
  withoutRedis(
    { id: 'R21', fault: 'Redis frozen (SIGSTOP), thawed' },
    ({ redis }) => redis.pause(),
    ({ redis }) => redis.resume(),
  ),
  {
    id: 'R19',
    fault: 'every service restarted in turn (SIGTERM), one process each',
    expected: 'only requests to the one that is away fail, with 503',
    async run({ members }, load) {
      const from = load.now();
      for (const name of ['auth', 'users', 'items', 'orders'] as const) await members[name].restart();
      await delay(1_000);
      const meanwhile = sent(load, from, load.now() - 500).filter(isGood);
      const failed = meanwhile.filter(({ status }) => status !== 200);
      return {
        measured: `${meanwhile.length} requests, ${failed.length} not answered with 200 (${statuses(failed) || 'none'})`,
        holds: failed.every(({ status }) => status === 503 || status === 502),
      };
    },
  },
];
