import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTests } from './run-tests.ts';

const root = new URL('../..', import.meta.url).pathname;
// A project of its own: the volumes of a system that somebody works with are never touched.
const files = ['docker-compose.yml', 'infra/compose/e2e.yml'].flatMap((file) => ['-f', join(root, file)]);
const project = ['compose', '-p', 'gatehouse-e2e', ...files];

// Ctrl-C reaches docker and the tests too: what they leave is taken down below, and only then we end.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});

const { error, status } = spawnSync('docker', ['compose', 'version'], { stdio: 'ignore', timeout: 30_000 });
if (error || status !== 0) {
  process.stderr.write(
    'e2e:compose needs docker with the compose plugin, and `docker compose version` fails\n',
  );
  process.exit(1);
}

// What the docs tell to start besides, which takes certificates, or images that nothing else needs.
for (const file of [
  'infra/tls/docker-compose.yml',
  'infra/haproxy/docker-compose.yml',
  'infra/observability/docker-compose.yml',
]) {
  const both = ['compose', '-f', 'docker-compose.yml', '-f', file, 'config', '--quiet'];
  const { status: valid } = spawnSync('docker', both, { cwd: root, stdio: 'inherit' });
  if (valid !== 0) throw new Error(`docker compose does not take ${file}`);
}

process.exitCode = (await testCompose()) ? 0 : 1;

async function testCompose(): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-e2e-'));
  let passed = false;
  try {
    passed = (await docker('up', '-d', '--build', '--wait')) && (await runFlows(directory));
  } finally {
    if (!passed) await docker('logs', '--no-color', '--tail', '50');
    if (process.env.KEEP !== 'true') await docker('down', '-v');
    rmSync(directory, { recursive: true });
  }
  return passed;
}

async function runFlows(directory: string): Promise<boolean> {
  const variables = {
    BASE_URL: 'http://localhost:8080',
    USERS_URL: 'http://localhost:8082',
    ITEMS_URL: 'http://localhost:8083',
    ORDERS_URL: 'http://localhost:8084',
    ORDERS_CLIENT_SECRET: readFileSync(`${root}/infra/secrets/demo/orders-client-secret`, 'utf8').trim(),
    SECRETS_FILE: join(directory, 'secrets'),
    LOG_FILE: join(directory, 'log'),
  };
  writeFileSync(variables.SECRETS_FILE, '');
  const flows = await runTests('flows/*.test.ts', variables);
  writeFileSync(variables.LOG_FILE, logsOfAll());
  const logs = await runTests('logs.test.ts', variables);
  const outages = await runTests('outages/*.test.ts', { ...variables, COMPOSE: JSON.stringify(project) });
  return flows && logs && outages;
}

async function docker(...command: string[]): Promise<boolean> {
  const child = spawn('docker', [...project, ...command], { cwd: root, stdio: 'inherit' });
  const [code] = await once(child, 'close');
  return code === 0;
}

function logsOfAll(): string {
  const { stdout } = spawnSync('docker', [...project, 'logs', '--no-color', '--no-log-prefix'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    timeout: 60_000,
  });
  return stdout;
}
