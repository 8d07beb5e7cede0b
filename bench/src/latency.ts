import { startLoad } from './children.ts';
import type { RateAnswer, RateOrder } from './fixed-rate.ts';
import { contenders, packages } from './gateways.ts';
import { haproxyVersion } from './haproxy.ts';
import type { LoadOrder } from './load.ts';
import { measuredOn, medianOf, quantileOf, tableWith, writeSection } from './report.ts';
import { sized } from './size.ts';
import { startStage } from './stage.ts';

const rounds = 3;
const seconds = sized(10);
const warmUpRequests = sized(10_000);
const capacityRequests = sized(30_000);
const connections = 64;
const distinctTokens = 50;
const inAnHour = Math.floor(Date.now() / 1000) + 3600;

interface Times {
  p50: number;
  p99: number;
}

await using stage = await startStage();
const sign = () => stage.issuer.sign({ exp: inAnHour });
const tokens = await Promise.all(Array.from({ length: distinctTokens }, sign));
const asked = { path: '/items/5f0c6f0e', host: new URL(stage.issuer.issuer).host, tokens, connections };
const at = (port: number) => `http://127.0.0.1:${port}`;

const closed = startLoad<LoadOrder>('./load.ts');
const fixed = startLoad<RateOrder, RateAnswer>('./fixed-rate.ts');
const rows: string[][] = [];
try {
  for (const { name, start } of contenders) {
    const { child, port } = await start(stage.setup);
    await closed.send({ ...asked, url: at(port), requests: warmUpRequests });
    const began = performance.now();
    await closed.send({ ...asked, url: at(port), requests: capacityRequests });
    const capacity = (capacityRequests / (performance.now() - began)) * 1000;
    const [direct, through]: [Times[], Times[]] = [[], []];
    for (let round = 1; round <= rounds; round++) {
      direct.push(await timesOf(stage.upstream.port, capacity / 2));
      through.push(await timesOf(port, capacity / 2));
    }
    child.kill();
    const added = (which: keyof Times) =>
      medianOf(through.map((times, round) => times[which] - (direct[round]?.[which] ?? Number.NaN)));
    const each = (times: Times[]) => times.map(({ p99 }) => p99.toFixed(1)).join(', ');
    rows.push([
      name,
      Math.round(capacity / 2).toLocaleString('en'),
      `${added('p50').toFixed(2)} ms`,
      `**${added('p99').toFixed(2)} ms**`,
      each(through),
      each(direct),
    ]);
  }
  writeSection('How much later an answer comes through the gateway', reportOf());
} finally {
  closed.stop();
  fixed.stop();
}

async function timesOf(port: number, perSecond: number): Promise<Times> {
  const { goodMs, statuses } = await fixed.send({
    ...asked,
    url: at(port),
    perSecond,
    seconds,
    addresses: 1,
  });
  const others = Object.keys(statuses).filter((status) => status !== '200');
  if (others.length > 0) throw new Error(`answered with ${others.join(', ')} at half of the capacity`);
  return { p50: quantileOf(goodMs, 0.5), p99: quantileOf(goodMs, 0.99) };
}

function reportOf(): string {
  const heads = ['gateway', 'a second', 'p50 added', 'p99 added', 'p99 through it', 'p99 direct'];
  return `GET /items/{id} at half of what each gateway can do: how much longer an answer takes than one of the upstream itself, asked
at the same rate. What each can do was found with ${connections} connections that send the next request when the last is
answered (${capacityRequests.toLocaleString('en')} requests); then ${rounds} rounds of ${seconds} s at the fixed rate, whether requests are answered or not, direct and through
the gateway in turn, in bursts of a millisecond. Medians of the rounds. Wall time: sender, gateway, upstream and Redis
share the cores of this machine, and whatever else it does shows.

${tableWith(heads, rows)}

${measuredOn(packages)} HAProxy ${haproxyVersion() ?? 'not installed'}.
Run it with \`npm run bench -- latency\`; it needs Linux and redis-server, and takes HAProxy in where \`haproxy\` is installed.`;
}
