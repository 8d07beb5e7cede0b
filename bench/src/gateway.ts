import { type Child, startLoad } from './children.ts';
import { type Contender, contenders, fastify, ours, packages } from './gateways.ts';
import { haproxyVersion } from './haproxy.ts';
import type { LoadOrder } from './load.ts';
import { type Measured, measure, type Plan } from './measure.ts';
import { measuredOn, tableOf, writeSection } from './report.ts';
import { sized } from './size.ts';
import { type Stage, startStage } from './stage.ts';

// Two processes of the same code may differ by a fifth for as long as they live.
const processes = 3;
// For each of them.
const plan: Plan = {
  rounds: 5,
  slices: 5,
  warmUpRequests: sized(10_000),
  measuredRequests: sized(7_000),
};
const connections = 12;
const distinctTokens = 50;
const inAnHour = Math.floor(Date.now() / 1000) + 3600;

interface Target extends Measured {
  /** The tokens that so many requests bring next; fewer come again and again. */
  next(requests: number): string[];
}

await using es256 = await startStage();
await using rs256 = await startStage({ alg: 'RS256' });

const targets: Target[] = [];
for (const contender of contenders) await addWithFew(contender, es256);
for (const stage of [es256, rs256]) {
  // The same ones for each process: it is those that must not have seen them.
  const tokens = await sign(stage, plan.warmUpRequests + plan.rounds * plan.measuredRequests);
  for (const contender of [ours, fastify]) await addWithNew(contender, stage, tokens);
}
for (const contender of contenders) if (contender.alwaysVerifies) await addWithFew(contender, rs256);

const load = startLoad<LoadOrder>('./load.ts');
try {
  await measure(targets, plan, send);
  writeSection('What a request costs at the gateway', reportOf(tableOf('gateway', rowsOf(targets))));
} finally {
  load.stop();
  for (const { child } of targets) child.kill();
}

async function sign({ issuer }: Stage, count: number): Promise<string[]> {
  return Promise.all(Array.from({ length: count }, () => issuer.sign({ exp: inAnHour })));
}

async function addWithFew({ name, does, start }: Contender, stage: Stage): Promise<void> {
  const tokens = await sign(stage, distinctTokens);
  await add(
    `${name}${labelOf(stage)}`,
    does,
    () => start(stage.setup),
    () => () => tokens,
  );
}

async function addWithNew({ name, start }: Contender, stage: Stage, tokens: string[]): Promise<void> {
  const does = 'the same, but every request brings a token never seen before';
  await add(
    `${name}, new tokens${labelOf(stage)}`,
    does,
    () => start(stage.setup),
    () => {
      let seen = 0;
      return (requests) => {
        seen += requests;
        return tokens.slice(seen - requests, seen);
      };
    },
  );
}

async function add(
  name: string,
  does: string,
  start: () => Promise<Child>,
  tokensOf: () => Target['next'],
): Promise<void> {
  for (let count = 0; count < processes; count++) {
    targets.push({ name, does, next: tokensOf(), microseconds: [], ...(await start()) });
  }
}

/** One row for all processes of a name, with the mean of them in each round. */
function rowsOf(measured: readonly Target[]) {
  const byName = Map.groupBy(measured, ({ name }) => name);
  return [...byName.values()].map((same) => {
    const sums = same.reduce<number[]>(
      (sum, { microseconds }) => microseconds.map((spent, round) => spent + (sum[round] ?? 0)),
      [],
    );
    const { name, does } = same[0] as Target;
    return { name, does, microseconds: sums.map((sum) => sum / same.length) };
  });
}

function labelOf({ setup }: Stage): string {
  return setup.alg === 'RS256' ? ', RS256' : '';
}

async function send({ port, next }: Target, requests: number): Promise<void> {
  await load.send({
    url: `http://127.0.0.1:${port}`,
    path: '/items/5f0c6f0e',
    host: new URL(es256.issuer.issuer).host,
    tokens: next(requests),
    connections,
    requests,
  });
}

function reportOf(table: string): string {
  const { rounds, slices, warmUpRequests, measuredRequests } = plan;
  return `CPU microseconds per request of the process under test (user and system time, all threads), for GET /items/{id} through
to a trivial upstream over ${connections} kept connections with ${distinctTokens} different ES256 tokens, where no other is named. Each row is the mean of ${processes} processes,
as two of the same code may differ by a fifth: ${warmUpRequests.toLocaleString('en')} requests to warm up each, then ${rounds} rounds of ${measuredRequests.toLocaleString('en')}, interleaved in ${slices} slices. CPU time is
compared because wall time depends on what else the machine does; the figures of one run compare with each other, not with those of
another machine, nor of another hour. The aims were 130 for a token that is
remembered and 250 for one that is new, on a machine where Fastify without a log takes 150.

${table}

What the rows do not show: Fastify's does less. Three runs of this day had Gatehouse at 0.72, 0.82 and 0.88 of Fastify without a log; in turns
with it, all held to one core, it was 6 and 7 % above. Scopes of /items are checked by the service behind, not here. The rows that verify
the token each time have no row for new ones: theirs is that already.
The aim for a token that is remembered, 0.87 of Fastify, is met in two of the three runs. That for a new one is 1.67 times Fastify's figure
for a remembered one: with RS256 ours was 1.65, 1.76 and 1.92 times that. With ES256 it was 2.1 to 2.4 times, and cannot be less: bare
node:http and undici with nothing but express-oauth2-jwt-bearer, which verifies ours, take 1.66 and 1.71 times that. The aim was set
beside figures of RS256 tokens, which are quicker to verify, and longer to sign. Half of what a new token costs more than a
remembered one is its signature, made void to measure that. By a profile jose takes 40, 15 of them for base64 that Node does not do
for it yet, and express-oauth2-jwt-bearer 20; the rest is garbage collection and what waiting for another thread costs. Verified on the
same thread it costs no less.

What paid, in turns with the process without it:

- 13 of 122: what is forwarded passes in front of Express's router, and its headers are written at once (ADR 36). A request made 31 KB of
  objects before, and makes 26 since (V8's sampling heap profiler); the floor makes 14, Fastify 30.
- 10 to 27 of 190 to 200: one layer for handlers that follow each other (compose() in service-kit), paths held against the routing table
  once, and a breaker that makes promises only after a failure. It was 40 KB before, 10 of them in Express's router.
- 9 of 139: requests and answers that are Express's from the start (messagesOf() in service-kit), as Express changes the prototype of
  what node:http made.
- 8 of 146: no URL for http-proxy-middleware, which parsed it for a filter that lets everything pass. Of the library only the call of our
  transport is used, and that costs 7 of 121. It stays, as the way to everything else that it can do.
- 4 of 148: lines of the log held as bytes, since sonic-boom copies and counts all of the text that it holds with each line.
- 9 of 155: a line of the access log written in one piece.
- 45 to 50 of 440 to 510 for a new token: jose 6 under express-oauth2-jwt-bearer, which asks for 4; the row of the parts has it too.
- 42 of 238 over 64 connections, and 126 of 420 MB: an option against V8 making the listeners of each response old objects, which kept
  every request until the next full collection (listen() in service-kit).

What showed no steady gain: labels of metrics kept resolved, one timer for all deadlines of a request, fewer threads for garbage
collection, a larger young generation or a smaller one, more inlining by V8, later optimizing, large pages
for Node's code, the claims of a new token decoded once instead of twice.

${measuredOn(packages)} HAProxy ${haproxyVersion() ?? 'not installed'}.
Run it with \`npm run bench -- gateway\`; it needs Linux and redis-server, and takes HAProxy in where \`haproxy\` is installed.`;
}
