import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { startChild, startLoad } from './children.ts';
import type { RateAnswer, RateOrder } from './fixed-rate.ts';
import type { LoadOrder } from './load.ts';
import { measuredOn, medianOf, quantileOf, tableWith, writeSection } from './report.ts';
import { sized } from './size.ts';
import { startStage } from './stage.ts';

const rounds = 3;
const busyConnections = 64;
const busyRequests = sized(60_000);
// The peak is the most that comes of these.
const offers = [0.7, 0.8, 0.9, 1];
const overload = 3;
const secondsOf = (offer: number) => sized(offer === overload ? 60 : 10);
const connections = 4_000;
// What one network may take up is bounded.
const addresses = 10;
const distinctTokens = 50;
const inAnHour = Math.floor(Date.now() / 1000) + 3600;

/** What came of sending at one rate. */
interface Sent {
  offer: number;
  sentPerSecond: number;
  goodPerSecond: number;
  goodP99Ms: number;
  healthP99Ms: number;
  statuses: Record<number, number>;
}

await using stage = await startStage();
const sign = () => stage.issuer.sign({ exp: inAnHour });
const tokens = await Promise.all(Array.from({ length: distinctTokens }, sign));
const gateway = await startChild('./targets/gatehouse.ts', stage.setup);
const url = `http://127.0.0.1:${gateway.port}`;
const asked = { url, path: '/items/5f0c6f0e', host: new URL(stage.issuer.issuer).host, tokens };
const closed = startLoad<LoadOrder>('./load.ts');
const open = startLoad<RateOrder, RateAnswer>('./fixed-rate.ts');
pin(gateway.child.pid, '0');
for (const { child } of [stage.upstream, closed, open]) pin(child.pid, `1-${availableParallelism() - 1}`);

const results: Sent[] = [];
const shares: number[] = [];
try {
  // Warms up both: what has to wait takes other ways through the code.
  await send(overload, await keepBusy());
  for (let round = 1; round <= rounds; round++) {
    const capacity = await keepBusy();
    const sent: Sent[] = [];
    for (const offer of offers) sent.push(await send(offer, capacity));
    const overloaded = await send(overload, capacity);
    shares.push(overloaded.goodPerSecond / Math.max(...sent.map(({ goodPerSecond }) => goodPerSecond)));
    results.push(...sent, overloaded);
  }
  writeSection('Three times as much as the gateway can do', reportOf());
} finally {
  closed.stop();
  open.stop();
  gateway.child.kill();
}

/** Requests a second with each connection always waiting for an answer. */
async function keepBusy(): Promise<number> {
  const began = performance.now();
  await closed.send({ ...asked, connections: busyConnections, requests: busyRequests });
  return (busyRequests / (performance.now() - began)) * 1000;
}

async function send(offer: number, capacity: number): Promise<Sent> {
  const seconds = secondsOf(offer);
  const perSecond = capacity * offer;
  const probing = new AbortController();
  const probes = probe(probing.signal);
  const answer = await open.send({ ...asked, connections, addresses, perSecond, seconds });
  probing.abort();
  const perSecondOf = (count: number) => (count * 1000) / answer.sentMs;
  return {
    offer,
    sentPerSecond: perSecondOf(perSecond * seconds - answer.unsent),
    goodPerSecond: perSecondOf(answer.goodWhileSent),
    goodP99Ms: quantileOf(answer.goodMs, 0.99),
    healthP99Ms: quantileOf(await probes, 0.99),
    statuses: answer.statuses,
  };
}

/** Asks for /health/live until the signal; throws when it is not answered with 200. */
async function probe(signal: AbortSignal): Promise<number[]> {
  const tookMs: number[] = [];
  while (!signal.aborted) {
    const askedAt = performance.now();
    const answer = await fetch(`${url}/health/live`, { signal: AbortSignal.timeout(10_000) });
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new Error(`/health/live answered ${answer.status}`);
    tookMs.push(performance.now() - askedAt);
    await delay(50);
  }
  return tookMs;
}

/** Lets a process run on these cores alone, so that who sends does not take the time of who answers. */
function pin(pid: number | undefined, cores: string): void {
  execFileSync('taskset', ['-a', '-p', '-c', cores, String(pid)], { stdio: ['ignore', 'ignore', 'inherit'] });
}

function reportOf(): string {
  const rows = [...offers, overload].map((offer) => {
    const sent = results.filter((result) => result.offer === offer);
    const statuses: Record<string, number> = {};
    for (const [status, count] of sent.flatMap((result) => Object.entries(result.statuses)))
      statuses[status] = (statuses[status] ?? 0) + count;
    const perSecond = (what: 'sentPerSecond' | 'goodPerSecond') =>
      sent.map((result) => Math.round(result[what]).toLocaleString('en')).join(', ');
    const median = (what: 'goodP99Ms' | 'healthP99Ms') =>
      `${Math.round(medianOf(sent.map((result) => result[what])))} ms`;
    return [
      `${offer}`,
      perSecond('sentPerSecond'),
      perSecond('goodPerSecond'),
      median('goodP99Ms'),
      Object.entries(statuses)
        .map(([status, count]) => `${count} × ${status}`)
        .join(', '),
      median('healthP99Ms'),
    ];
  });
  const heads = ['offered', 'sent', 'goodput', 'p99 of good answers', 'answers', '/health/live p99'];
  return `The goodput by what is offered, in requests a second, ${rounds} rounds. What is offered is a part, or a multiple, of what ${busyConnections} connections get in
the same round that send the next request when the last is answered. It is sent over up to ${connections.toLocaleString('en')} connections from ${addresses} addresses,
whether requests are answered or not, for ${secondsOf(1)} s, and for ${secondsOf(overload)} s where it is ${overload} times as much. Goodput counts the answers with 200 that have come by then. The
gateway runs on one core of its own, sender and upstream on the others. What would find every connection waiting for an answer
is not sent. Status 0 is a request without an answer. The time of an answer begins before its connection is made: who finds no place
among those that wait to be accepted is heard again after 1, 3 or 7 seconds.

The aim was that ${overload} times as much leaves above 80 % of the peak, which is the most that comes of less in the same round:
**${shares.map((share) => `${Math.round(100 * share)} %`).join(', ')}**, median **${Math.round(100 * medianOf(shares))} %**.
More than 100 % says that the machine became faster between the two, and little is as likely to say that it became slower.

${tableWith(heads, rows)}

${measuredOn(['undici', 'http-proxy-middleware', 'express'])}
Run it with \`npm run bench -- overload\`; it needs Linux with two cores, taskset and redis-server.`;
}
