import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { type Drill, drills } from './drills.ts';
import { availability, startLoad, statuses, wrongVerdicts } from './load.ts';
import { type Processes, startProcesses } from './processes.ts';

const report = new URL('../../../docs/drills.md', import.meta.url);
const [, , wanted] = process.argv;

// Servers that were started do not keep a process alive, not even one that waits for them to end.
const awake = setInterval(() => {}, 60_000);
const rows: string[] = [];
let isAllWell = true;
{
  await using system = await startProcesses();
  for (const drill of drills.filter(({ id }) => wanted === undefined || id.includes(wanted))) {
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
  const [good, revoked] = [await signIn(gateway.url), await signIn(gateway.url)];
  await revoke(gateway.url, revoked);
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

async function signIn(gateway: string): Promise<string> {
  const { access_token } = (await post(`${gateway}/token`, {
    grant_type: 'password',
    client_id: 'demo-first-party',
    scope: 'profile:read items:read orders:read',
    username: 'alice',
    password: 'alice-demo-pass',
  })) as { access_token: string };
  return access_token;
}

async function revoke(gateway: string, token: string): Promise<void> {
  await post(`${gateway}/revoke`, { client_id: 'demo-first-party', token });
}

async function post(url: string, form: Record<string, string>): Promise<unknown> {
  const signal = AbortSignal.timeout(10_000);
  const answer = await fetch(url, { method: 'POST', body: new URLSearchParams(form), signal });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  const text = await answer.text();
  return text === '' ? undefined : JSON.parse(text);
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

What else may break is tested where it happens: the ids are in the titles of the tests.

Measured on ${new Date().toISOString().slice(0, 10)}: ${machine}. Run it with \`npm run drill\`; it needs postgres and redis-server.
`;
}
