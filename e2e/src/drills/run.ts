import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { type Drill, drills } from './drills.ts';
import { availability, startLoad, statuses, wrongVerdicts } from './load.ts';
import { type Processes, startProcesses } from './processes.ts';
import { revoke, signIn } from './tokens.ts';

const report = new URL('../../../docs/drills.md', import.meta.url);
const [, , wanted] = process.argv;

// Servers that were started do not keep a process alive, not even one that waits for them to end.
const awake = setInterval(() => {}, 60_000);
const rows: string[] = [];
let isAllWell = true;
{
  await using system = await startProcesses();
  for (const drill of drills.filter(
    ({ id, canBeDone = () => true }) => (wanted === undefined || id.includes(wanted)) && canBeDone(),
  )) {
    const row = await perform(drill, system);
    rows.push(row.text);
    isAllWell &&= row.isWell;
    process.stdout.write(`${row.text}\n`);
  }
}
clearInterval(awake);
if (wanted === undefined) writeFileSync(report, reportOf(rows));
process.exitCode = isAllWell ? 0 : 1;

async function perform({ id, fault, expected, run }: Drill, processes: Processes) {
  const { gateway } = processes.members;
  const [{ access: good }, { access: revoked }] = [await signIn(gateway.url), await signIn(gateway.url)];
  // What the drill before has done may be over only just now.
  while ((await revoke(gateway.url, revoked)) !== 200) await delay(50);
  const load = startLoad(gateway.url, { good, revoked });
  const { measured, holds } = await run(processes, load);
  const outcomes = await load.stop();
  const wrong = wrongVerdicts(outcomes);
  const isWell = holds && wrong.length === 0;
  const verdicts = wrong.length === 0 ? '0' : `**${statuses(wrong)}**`;
  const available = Math.round(availability(outcomes) * 10) / 10;
  const cells = [id, fault, expected, measured, `${available} %`, verdicts, isWell ? 'yes' : '**no**'];
  return { isWell, text: `| ${cells.join(' | ')} |` };
}

function reportOf(lines: readonly string[]): string {
  const machine = `${availableParallelism()} cores (${cpus()[0]?.model.trim()}), Node ${process.versions.node}`;
  return `# Drills

What is done to the running system, and what it does then. Each service is a process, beside a PostgreSQL and a Redis of
their own, under fifty requests a second at the gateway: of ten, eight with a good token, one with a revoked one, one with
none. A wrong verdict is a good token that is called bad, or another one that is taken; there must be none, whatever
is broken. Availability counts good tokens that were answered with 200, over the whole drill, the fault included.

| id | fault | expected | measured | availability | wrong verdicts | holds |
| --- | --- | --- | --- | --- | --- | --- |
${lines.join('\n')}

What else may break is tested where it happens: the ids are in the titles of the tests. Packets are dropped and connections
reset (R23) where iptables may be used.

Measured on ${new Date().toISOString().slice(0, 10)}: ${machine}. Run it with \`npm run drill\`; it needs postgres and
redis-server, and takes some seven minutes.
`;
}
