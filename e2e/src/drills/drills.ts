import { spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { createRedisClient } from '@gatehouse/redis';
import { availability, type Load, type Outcome, p99, statuses } from './load.ts';
import { isLive, isReady, type Member, type Processes } from './processes.ts';
import { authorize, keyIdOf, post, revoke, signIn, statusOf } from './tokens.ts';

/** One fault, done to a system under load. */
export interface Drill {
  /** As in the titles of the tests. */
  id: string;
  fault: string;
  expected: string;
  /** Whether this machine lets us do it; as a rule it does. */
  canBeDone?(): boolean;
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
const seconds = (milliseconds: number) => `${Math.round(milliseconds / 100) / 10} s`;
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

/** A Redis that answers late, or refuses writes, as `begin` makes it: nobody who only reads notices. */
const withWeakRedis = (
  fault: Pick<Drill, 'id' | 'fault' | 'expected'>,
  begin: (redis: RawRedis) => unknown,
  meanwhile: (system: Processes) => Promise<{ measured: string; holds: boolean }>,
  end: (redis: RawRedis) => unknown = () => {},
): Drill => ({
  ...fault,
  async run(system, load) {
    const raw = createRedisClient(system.redis.url, {});
    try {
      await raw.ping().catch(() => delay(500));
      const from = load.now();
      // Some faults keep their own answer until they are over.
      await Promise.race([begin(raw), delay(50)]);
      const { measured, holds } = await meanwhile(system);
      await delay(Math.max(0, from + 5_000 - load.now()));
      const answered = sent(load, from).filter(isGood);
      const available = availability(answered);
      await end(raw);
      const mendedAt = load.now();
      const { gateway } = system.members;
      while ((await revoke(gateway.url, (await signIn(gateway.url)).access)) !== 200) await delay(50);
      return {
        measured: `${percent(available)} of ${answered.length} requests, p99 ${ms(p99(answered))}; ${measured}; a revocation is taken ${ms(load.now() - mendedAt)} later`,
        holds: holds && available === 100,
      };
    } finally {
      raw.disconnect();
    }
  },
});

type RawRedis = ReturnType<typeof createRedisClient>;

/** A revocation that Redis does not take. */
async function revocationIsRefused({ members: { gateway } }: Processes) {
  const status = await revoke(gateway.url, (await signIn(gateway.url)).access);
  return { measured: `/revoke ${status}`, holds: status === 503 };
}

/** What the firewall does to packets for this Redis. */
function firewall(action: '-A' | '-D', { redis }: Processes, target: readonly string[]): void {
  const { port } = new URL(redis.url);
  const rule = ['OUTPUT', '-p', 'tcp', '-d', '127.0.0.1', '--dport', port, '-j', ...target];
  // A drill that fails must not leave its rule behind.
  if (action === '-A') process.once('exit', () => spawnSync('iptables', ['-D', ...rule]));
  const { status, stderr } = spawnSync('iptables', [action, ...rule], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`iptables: ${stderr}`);
}

const hasFirewall = () => spawnSync('iptables', ['-S', 'OUTPUT']).status === 0;

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
  withWeakRedis(
    {
      id: 'R22',
      fault: 'Redis pauses for 3 s (CLIENT PAUSE)',
      expected: 'every API goes on: 100 %; /revoke 503 meanwhile',
    },
    (raw) => raw.call('CLIENT', 'PAUSE', '3000', 'ALL'),
    revocationIsRefused,
  ),
  withWeakRedis(
    {
      id: 'R22',
      fault: 'Redis sleeps for 3 s (DEBUG SLEEP)',
      expected: 'every API goes on: 100 %; /revoke 503 meanwhile',
    },
    (raw) => raw.call('DEBUG', 'SLEEP', '3'),
    revocationIsRefused,
  ),
  withWeakRedis(
    {
      id: 'R25',
      fault: 'Redis is full (maxmemory 1, noeviction), then not any more',
      expected: 'every API goes on: 100 %; /revoke 503 meanwhile',
    },
    (raw) => raw.config('SET', 'maxmemory', '1'),
    revocationIsRefused,
    (raw) => raw.config('SET', 'maxmemory', '0'),
  ),
  withWeakRedis(
    {
      id: 'R26',
      fault: 'Redis is set to evict (allkeys-lru), then not any more',
      expected: 'what runs goes on: 100 %; auth is unready until it is mended',
    },
    (raw) => raw.config('SET', 'maxmemory-policy', 'allkeys-lru'),
    async ({ members: { auth, users } }) => {
      const measured = `auth ready: ${await isReady(auth.url)}, users, which was ready before: ${await isReady(users.url)}`;
      return { measured, holds: !(await isReady(auth.url)) && (await isReady(users.url)) };
    },
    (raw) => raw.config('SET', 'maxmemory-policy', 'noeviction'),
  ),
  {
    ...withoutRedis(
      { id: 'R23', fault: 'packets for Redis are dropped (iptables DROP), then not any more' },
      (system) => firewall('-A', system, ['DROP']),
      (system) => firewall('-D', system, ['DROP']),
    ),
    canBeDone: hasFirewall,
  },
  {
    ...withoutRedis(
      {
        id: 'R23',
        fault: 'connections to Redis are reset (iptables REJECT with tcp-reset), then not any more',
      },
      (system) => firewall('-A', system, ['REJECT', '--reject-with', 'tcp-reset']),
      (system) => firewall('-D', system, ['REJECT', '--reject-with', 'tcp-reset']),
    ),
    canBeDone: hasFirewall,
  },
  {
    id: 'R11',
    fault: 'the gateway starts (after SIGKILL) while auth is away, which starts 3 s later',
    expected: 'not ready and 503, never 401; ready by itself once auth is back',
    async run({ members: { auth, gateway } }, load) {
      auth.signal('SIGKILL');
      gateway.signal('SIGKILL');
      await delay(200);
      gateway.launch();
      while (!(await isLive(gateway.url))) await delay(20);
      const from = load.now();
      await delay(3_000);
      const wasReady = await isReady(gateway.url);
      const meanwhile = sent(load, from).filter((outcome) => isGood(outcome) && !outcome.isRefused);
      await auth.start();
      const startedAt = load.now();
      await gateway.untilReady();
      const readyAfter = load.now() - startedAt;
      const healedAfter = await untilHealed(load);
      return {
        measured: `ready without auth: ${wasReady}, ${statuses(meanwhile)}; ready ${ms(readyAfter)} after auth, 200 after ${ms(healedAfter)} more`,
        holds: !wasReady && meanwhile.every(({ status }) => status === 503) && healedAfter < 2_000,
      };
    },
  },
  {
    id: 'R12',
    fault: 'auth frozen (SIGSTOP) for 70 s, so that every process fetches the keys in vain, thawed',
    expected: 'every API goes on with the keys that it has: 100 %',
    async run({ members: { auth } }, load) {
      const from = load.now();
      auth.signal('SIGSTOP');
      await delay(70_000);
      const meanwhile = sent(load, from).filter(isGood);
      auth.signal('SIGCONT');
      await auth.untilReady();
      const available = availability(meanwhile);
      return {
        measured: `${percent(available)} of ${meanwhile.length} requests, p99 ${ms(p99(meanwhile))}`,
        holds: available === 100,
      };
    },
  },
  {
    id: 'R13 R14',
    fault: 'the signing key is replaced, and then the old one is removed as if it had leaked',
    expected: 'no 401 while it is replaced; what the old one signed is 401 within 70 s of its removal',
    async run({ keys, members: { gateway } }, load) {
      const old = await signIn(gateway.url);
      const oldKey = keyIdOf(old.access);
      const from = load.now();
      await keys('rotate');
      let current = old;
      while (keyIdOf(current.access) === oldKey) {
        if (load.now() - from > 120_000) throw new Error('the new key does not sign');
        await delay(1_000);
        current = await signIn(gateway.url);
        // Each is used at once, and so is the first one that the new key has signed.
        load.use(current.access);
      }
      const signsAfter = load.now() - from;
      await delay(3_000);
      const meanwhile = sent(load, from).filter(isGood);
      const refused = meanwhile.filter(({ status }) => status !== 200);
      await keys('remove', oldKey);
      const removedAt = load.now();
      while ((await statusOf(gateway.url, old.access)) !== 401 && load.now() - removedAt < 90_000)
        await delay(100);
      const diesAfter = load.now() - removedAt;
      return {
        measured: `the new key signs after ${seconds(signsAfter)}; ${meanwhile.length} requests meanwhile, ${refused.length} not answered with 200; the old token dies ${seconds(diesAfter)} after the removal`,
        holds: refused.length === 0 && diesAfter < 70_000,
      };
    },
  },
  {
    id: 'R16',
    fault: 'auth killed (SIGKILL) in the middle of a refresh, started again, five times',
    expected: 'the same refresh works again, or the user signs in again; every API goes on: 100 %',
    async run({ members: { auth, gateway } }, load) {
      const from = load.now();
      const outcomes: string[] = [];
      for (let round = 0; round < 5; round += 1) {
        const { refresh = '' } = await signIn(gateway.url, 'offline_access');
        const form = { grant_type: 'refresh_token', client_id: 'demo-first-party', refresh_token: refresh };
        const first = post(`${gateway.url}/token`, form);
        await delay(2 + 4 * round);
        auth.signal('SIGKILL');
        const { status } = await first;
        await auth.start();
        const again = await post(`${gateway.url}/token`, form);
        const { error = 'refreshed' } = again.body as { error?: string };
        outcomes.push(`${status} then ${error}`);
      }
      const meanwhile = sent(load, from, load.now() - 500);
      const available = availability(meanwhile);
      return {
        measured: `${outcomes.join(', ')}; ${percent(available)} of ${meanwhile.length} requests`,
        holds:
          available === 100 && outcomes.every((outcome) => /then (?:refreshed|invalid_grant)$/.test(outcome)),
      };
    },
  },
  {
    id: 'R17',
    fault: 'auth started once more; each request goes to the process that did not have the last one',
    expected:
      'every sign-in completes; of 20 redemptions of a code at once one succeeds; 20 refreshes at once have one successor',
    async run({ issuer, startAnotherAuth, members: { auth } }) {
      const another = await startAnotherAuth();
      const processes = [auth, another];
      let requests = 0;
      const next = () => (processes[requests++ % processes.length] as Member).url;
      const ask = async (form: Record<string, string>) => {
        const { status, body } = await post(`${next()}/token`, form);
        return { status, refreshToken: (body as { refresh_token?: string }).refresh_token };
      };
      const askAtOnce = (form: Record<string, string>) =>
        Promise.all(Array.from({ length: 20 }, () => ask(form)));
      const given: string[] = [];
      const [redeemed, successors]: [number[], number[]] = [[], []];
      for (let round = 0; round < 5; round += 1) {
        const answers = await askAtOnce(await authorize(issuer, next));
        redeemed.push(answers.filter(({ status }) => status === 200).length);
        const { status, refreshToken = '' } = await ask(await authorize(issuer, next));
        given.push(String(status));
        const refreshed = await askAtOnce({
          grant_type: 'refresh_token',
          client_id: 'demo-cli',
          refresh_token: refreshToken,
        });
        successors.push(new Set(refreshed.map((answer) => answer.refreshToken)).size);
      }
      another.signal('SIGTERM');
      return {
        measured: `${2 * given.length} sign-ins; a code brought once ${given.join(', ')}; brought 20 times at once, ${redeemed.join(', ')} of them 200; successors ${successors.join(', ')}; ${requests} requests`,
        holds:
          given.every((status) => status === '200') &&
          [...redeemed, ...successors].every((count) => count === 1),
      };
    },
  },
  {
    id: 'R18',
    fault: 'the gateway told to stop (SIGTERM), one process alone, started again',
    expected:
      'what it has read is answered, it exits with 0; at most one request comes as its connection is closed; then nobody listens until it is back',
    async run({ members: { gateway } }, load) {
      await delay(2_000);
      const from = load.now();
      await gateway.restart();
      const awayMs = load.now() - from;
      await delay(1_000);
      const meanwhile = sent(load, from - 1_000, load.now() - 500);
      const unanswered = meanwhile.filter(({ status }) => status === undefined);
      const lost = unanswered.filter(({ isRefused }) => !isRefused);
      return {
        measured: `${meanwhile.length} requests, ${lost.length} lost, ${unanswered.length - lost.length} refused by the machine in the ${seconds(awayMs)} from the signal until it was ready`,
        holds: lost.length <= 1,
      };
    },
  },
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
