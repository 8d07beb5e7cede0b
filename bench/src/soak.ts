import { setTimeout as delay } from 'node:timers/promises';
import { openDescriptors, residentBytes, startChild, startLoad } from './children.ts';
import { measuredOn, tableWith, writeSection } from './report.ts';
import { sized } from './size.ts';
import type { SoakAnswer, SoakOrder } from './soak-load.ts';
import { startStage } from './stage.ts';

const requests = sized(1_000_000);
const steps = 20;
const connections = 64;
const distinctTokens = 50;
const inTwoHours = Math.floor(Date.now() / 1000) + 7200;

await using stage = await startStage({ upstreamFile: './targets/failing-upstream.ts' });
const sign = () => stage.issuer.sign({ exp: inTwoHours });
const tokens = await Promise.all(Array.from({ length: distinctTokens }, sign));
const { child, port } = await startChild('./targets/gatehouse.ts', stage.setup);
const load = startLoad<SoakOrder, SoakAnswer>('./soak-load.ts');
const order: SoakOrder = {
  url: `http://127.0.0.1:${port}`,
  host: new URL(stage.issuer.issuer).host,
  tokens,
  connections,
  requests: requests / steps,
};

const megabytes: number[] = [];
const descriptors: number[] = [];
const became: SoakAnswer = {};
try {
  for (let step = 1; step <= steps; step++) {
    for (const [what, statuses] of Object.entries(await load.send(order))) {
      const all = became[what] ?? {};
      became[what] = all;
      for (const [status, count] of Object.entries(statuses)) all[status] = (all[status] ?? 0) + count;
    }
    // The connections of this step are closed on both sides by then.
    await delay(500);
    megabytes.push(residentBytes(child) / 1e6);
    descriptors.push(openDescriptors(child));
  }
  writeSection('A million requests', reportOf());
} finally {
  load.stop();
  child.kill();
}

/** By least squares: how much the values rise from each to the next. */
function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const rise = values.reduce((sum, value, i) => sum + (i - middle) * (value - mean), 0);
  return rise / values.reduce((sum, _value, i) => sum + (i - middle) ** 2, 0);
}

function reportOf(): string {
  const perMillion = slopeOf(megabytes.slice(steps / 2)) * steps * (1_000_000 / requests);
  const rows = Object.entries(became).map(([what, statuses]) => {
    const each = Object.entries(statuses).map(
      ([status, count]) => `${count.toLocaleString('en')} × ${status}`,
    );
    return [what, each.join(', ')];
  });
  return `${requests.toLocaleString('en')} requests to the gateway with everything on, over ${connections} connections at a time, in ${steps} parts. Of twenty, two are given
up by the client within three milliseconds, and one has an upstream that breaks off before its answer, breaks off within it
(half), or says 500 (fails). After each part, when the client has closed its connections, the gateway's memory and
descriptors are read. The aims were a slope of memory near zero and a flat number of descriptors.

- resident memory, MB: ${megabytes.map(Math.round).join(', ')}
- its slope in the second half: **${perMillion.toFixed(1)} MB in a million requests**
- open descriptors: ${descriptors.join(', ')}

${tableWith(['asked for', 'became'], rows)}

${measuredOn(['undici', 'http-proxy-middleware', 'express'])}
Run it with \`npm run bench -- soak\`; it needs Linux and redis-server.`;
}
