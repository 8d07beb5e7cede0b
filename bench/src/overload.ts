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
const seconds = sized(20);
const warmUpRequests = sized(60_000);
const peakRequests = sized(60_000);
const times = 3;
const peakConnections = 64;
const connections = 4_000;
// What one network may take up is bounded.
const addresses = 10;
const distinctTokens = 50;
const inAnHour = Math.floor(Date.now() / 1000) + 3600;

await using stage = await startStage();
const sign = () => stage.issuer.sign({ exp: inAnHour });
const tokens = await Promise.all(Array.from({ length: distinctTokens }, sign));
const gateway = await startChild('./targets/gatehouse.ts', stage.setup);
const url = `http://127.0.0.1:${gateway.port}`;
const asked = { url, path: '/items/5f0c6f0e', host: new URL(stage.issuer.issuer).host, tokens };
const closed = startLoad<LoadOrder>('./load.ts');
const flood = startLoad<RateOrder, RateAnswer>('./fixed-rate.ts');
pin(gateway.child.pid, '0');
for (const { child } of [stage.upstream, closed, flood]) pin(child.pid, `1-${availableParallelism() - 1}`);

const rows: string[][] = [];
const shares: number[] = [];
try {
  await closed.send({ ...asked, connections: peakConnections, requests: warmUpRequests });
  for (let round = 1; round <= rounds; round++) {
    const began = performance.now();
    await closed.send({ ...asked, connections: peakConnections, requests: peakRequests });
    const peak = (peakRequests / (performance.now() - began)) * 1000;
    const probing = new AbortController();
    const probes = probe(probing.signal);
    const order = { ...asked, connections, addresses, perSecond: peak * times, seconds };
    const { goodMs, goodWhileSent, statuses, unsent, sentMs } = await flood.send(order);
    probing.abort();
    const healthMs = await probes;
    const goodput = (goodWhileSent / sentMs) * 1000;
    shares.push(goodput / peak);
    const each = Object.entries(statuses).map(([status, count]) => `${count} × ${status}`);
    rows.push([
      Math.round(peak).toLocaleString('en'),
      Math.round(((order.perSecond * seconds - unsent) * 1000) / sentMs).toLocaleString('en'),
      Math.round(goodput).toLocaleString('en'),
      `**${Math.round((100 * goodput) / peak)} %**`,
      `${Math.round(quantileOf(goodMs, 0.99))} ms`,
      each.join(', '),
      `${Math.round(quantileOf(healthMs, 0.99))} ms of ${healthMs.length}`,
    ]);
  }
  writeSection('Three times as much as the gateway can do', reportOf());
} finally {
  closed.stop();
  flood.stop();
  gateway.child.kill();
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
  const heads = [
    'peak',
    'offered',
    'goodput',
    'of the peak',
    'p99 of good answers',
    'answers',
    '/health/live p99',
  ];
  return `Requests a second: the peak is what ${peakConnections} connections get that send the next request when the last is answered; then
${times} times that is to be sent for ${seconds} s over up to ${connections.toLocaleString('en')} connections from ${addresses} addresses, whether requests are answered or not.
Goodput counts the answers with 200 that have come by then. The gateway runs on one core of its own, sender and upstream on
the others. What would find every connection waiting for an answer is not sent; the table says how much was. Status 0 is a
request without an answer. The time of an answer begins before its connection is made: who finds no place among those that wait to be
accepted is heard again after 1, 3 or 7 seconds. The aim was a goodput above 80 % of the peak.
Median **${Math.round(100 * medianOf(shares))} %**.

${tableWith(heads, rows)}

${measuredOn(['undici', 'http-proxy-middleware', 'express'])}
Run it with \`npm run bench -- overload\`; it needs Linux with two cores, taskset and redis-server.`;
}
