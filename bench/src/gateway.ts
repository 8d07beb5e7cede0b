import { startLoad } from './children.ts';
import { type Contender, contenders, fastify, ours, packages } from './gateways.ts';
import { haproxyVersion } from './haproxy.ts';
import type { LoadOrder } from './load.ts';
import { type Measured, measure, type Plan } from './measure.ts';
import { measuredOn, tableOf, writeSection } from './report.ts';
import { sized } from './size.ts';
import { startStage } from './stage.ts';

const plan: Plan = {
  rounds: 5,
  slices: 10,
  warmUpRequests: sized(10_000),
  measuredRequests: sized(20_000),
};
const connections = 12;
const distinctTokens = 50;
const inAnHour = Math.floor(Date.now() / 1000) + 3600;

interface Target extends Measured {
  /** Whether each request brings a token of its own. */
  isFirstSight: boolean;
  /** How many tokens it has seen, where that is so. */
  seen: number;
}

await using stage = await startStage();
const sign = () => stage.issuer.sign({ exp: inAnHour });
const tokens = await Promise.all(Array.from({ length: distinctTokens }, sign));
// Of the same ones for each process: it is those that must not have seen them.
const newTokens = await Promise.all(
  Array.from({ length: plan.warmUpRequests + plan.rounds * plan.measuredRequests }, sign),
);

const targets: Target[] = [];
for (const contender of contenders) await add(contender, false);
for (const contender of [ours, fastify]) await add(contender, true);

const load = startLoad<LoadOrder>('./load.ts');
try {
  await measure(targets, plan, send);
  writeSection('What a request costs at the gateway', reportOf(tableOf('gateway', targets)));
} finally {
  load.stop();
  for (const { child } of targets) child.kill();
}

async function add({ name, does, start }: Contender, isFirstSight: boolean): Promise<void> {
  const what = isFirstSight
    ? { name: `${name}, new tokens`, does: 'the same, but every request brings a token never seen before' }
    : { name, does };
  targets.push({ ...what, isFirstSight, seen: 0, microseconds: [], ...(await start(stage.setup)) });
}

async function send(target: Target, requests: number): Promise<void> {
  const { port, isFirstSight, seen } = target;
  target.seen += requests;
  await load.send({
    url: `http://127.0.0.1:${port}`,
    path: '/items/5f0c6f0e',
    host: new URL(stage.issuer.issuer).host,
    tokens: isFirstSight ? newTokens.slice(seen, target.seen) : tokens,
    connections,
    requests,
  });
}

function reportOf(table: string): string {
  const { rounds, slices, warmUpRequests, measuredRequests } = plan;
  return `CPU microseconds per request of the process under test (user and system time, all threads), for GET /items/{id} through
to a trivial upstream over ${connections} kept connections with ${distinctTokens} different ES256 tokens: ${warmUpRequests.toLocaleString('en')} requests to warm up, then
${rounds} rounds of ${measuredRequests.toLocaleString('en')}, interleaved in ${slices} slices each. CPU time is compared because wall time depends on what else the machine does; the
figures of one run compare with each other, not with those of another machine. The aims were 130 for a token that is
remembered and 250 for one that is new, on a machine where Fastify without a log takes 150.

${table}

What the rows do not show: Gatehouse's row measures the first path of its routing table, where matching costs least. It costs
less than Fastify with a log and more than Fastify without one, twice the floor; before limits, breaker and shedding it
cost as much as Fastify without a log. Scopes of /items are checked by the service behind, not here. The rows that
verify the token each time have no row for new ones: theirs is that already. Both aims are missed. Of what a new token
cost with jose 4, by a profile of its verification alone, two fifths were the signature, an eighth was Node preparing the
key, and as much were express-oauth2-jwt-bearer and jose; our own checks were three hundredths.

What paid, in turns with the process without it: a line of the access log written in one piece, 9 of 155. jose 6 under
express-oauth2-jwt-bearer, which asks for 4: 45 to 50 of 440 to 510 for a new token; the row of the parts has it too. And
over 64 connections, where V8 had come to make the listeners of each response old objects, and so kept every request until
the next full collection, an option against that, in the listen() of service-kit: 196 instead of 238, and 294 MB instead of
420. What showed no steady gain: labels of metrics kept resolved, one timer for all deadlines of a request, fewer threads for
garbage collection, a larger young generation. http-proxy-middleware, of which only the call of our transport is used, cost
about 10 of 170 on a busy machine; it stays, as the way to everything else that it can do.

${measuredOn(packages)} HAProxy ${haproxyVersion() ?? 'not installed'}.
Run it with \`npm run bench -- gateway\`; it needs Linux and redis-server, and takes HAProxy in where \`haproxy\` is installed.`;
}
