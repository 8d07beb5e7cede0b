import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runTests } from './run-tests.ts';
import { addressesOf, freePorts, lastLines, startSystem, temporaryDirectory } from './system.ts';

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const { BASE_URL } = process.env;
process.exitCode = (await (BASE_URL ? testRunning() : testOwn())) ? 0 : 1;

/** The flows against a system that runs already. */
async function testRunning(): Promise<boolean> {
  const optional = ['USERS_URL', 'ITEMS_URL', 'ORDERS_URL', 'ORDERS_CLIENT_SECRET'];
  const missing = optional.filter((name) => !process.env[name]);
  if (missing.length > 0) print(`some checks are left out: ${missing.join(', ')} not set`);
  print('not checked: the logs of that system, and what happens when it stops');
  const flows = await runTests('flows/*.test.ts', {});
  return (await runTests('pages/*.test.ts', {})) && flows;
}

/** The flows against a system of our own, then its logs, then the faults; with TLS what it makes different. */
async function testOwn(): Promise<boolean> {
  using directory = temporaryDirectory();
  const [secretsFile, logFile] = [join(directory.path, 'secrets'), join(directory.path, 'log')];
  writeFileSync(secretsFile, '');
  const ordersClientSecret = randomBytes(32).toString('base64url');
  const variables = {
    ORDERS_CLIENT_SECRET: ordersClientSecret,
    SECRETS_FILE: secretsFile,
    LOG_FILE: logFile,
  };

  const withTls = process.env.TLS_DIRECTORY !== undefined;
  const ports = await freePorts();
  const addresses = addressesOf(ports);

  const startedAt = performance.now();
  const system = await startSystem(join(directory.path, 'data'), ports, {
    LOG_LEVEL: 'trace',
    ORDERS_CLIENT_SECRET: ordersClientSecret,
  });
  print(`npm start was ready after ${Math.round(performance.now() - startedAt)} ms: ${addresses.BASE_URL}`);

  const flows = await runTests('flows/*.test.ts', { ...variables, ...addresses });
  // A browser decides by itself what it does with Secure cookies; the rest of the pages is the same.
  const pages = await (withTls
    ? runTests('pages/pages.test.ts', addresses, 'sign-in and consent')
    : runTests('pages/*.test.ts', addresses));
  if (!flows || !pages)
    print(`what went wrong inside, if anything:\n${lastLines(complaints(system.output()))}`);
  await system.stop();
  print('npm start ended with 0 on SIGTERM');
  // The banner shows the demo accounts with their passwords; what comes after it is the log.
  writeFileSync(logFile, system.output().split(/^ready in \d+ ms$/m)[1] ?? '');
  const logs = await runTests('logs.test.ts', variables);
  if (withTls) return flows && pages && logs;
  const faults = await runTests('faults/*.test.ts', { ...addresses, PORTS: JSON.stringify(ports) });
  return flows && pages && logs && faults;
}

function complaints(output: string): string {
  return output
    .split('\n')
    .filter((line) => /"level":"(warn|error|fatal)"/.test(line))
    .join('\n');
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
