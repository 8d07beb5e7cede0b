import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '@gatehouse/test-kit';
import { runTests } from '../run-tests.ts';
import { temporaryDirectory } from '../system.ts';

// Ctrl-C reaches docker and the tests too: what they leave is taken down below, and only then we end.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});

// What the service needs to answer through the gateway.
const needed = ['redis', 'postgres', 'auth', 'tin-trinkets', 'gateway'];
const root = join(import.meta.dirname, '../../..');
using directory = temporaryDirectory();
const port = await freePort();
const changed = join(directory.path, 'changed.yml');
writeFileSync(
  changed,
  `services:
  auth: ${fromSources('auth')}
  gateway:
    <<: ${fromSources('gateway')}
    ports: !override ["127.0.0.1:${port}:8080"]
`,
);
const compose = ['compose', '-p', 'gatehouse-new-service', '-f', 'docker-compose.yml', '-f', changed];
const BASE_URL = `http://localhost:${port}`;
let passed = false;
try {
  passed =
    docker('up', '-d', '--build', '--no-deps', '--wait', ...needed) &&
    (await runTests('new-service/*.test.ts', { BASE_URL, NOT_STARTED: 'items, orders, users' }));
} finally {
  if (!passed) docker('logs', '--no-color', '--tail', '50');
  docker('down', '-v', '--rmi', 'local');
}
process.exitCode = passed ? 0 : 1;

// What has an image of its own elsewhere runs here from this folder: to build the new service's takes long enough.
function fromSources(app: string): string {
  const [, image] = /^FROM (\S+)/m.exec(readFileSync(join(root, 'infra/docker/Dockerfile'), 'utf8')) ?? [];
  const isReady = `fetch('http://127.0.0.1:8080/health/ready').then(({ ok }) => process.exit(ok ? 0 : 1))`;
  return `{
      build: !reset null,
      image: "${image}",
      user: "${process.getuid?.()}",
      working_dir: /srv/apps/${app},
      volumes: ["${root}:/srv:ro"],
      command: [node, --import, "@gatehouse/service-kit/quick-imports", src/main.ts],
      healthcheck: { test: [CMD, node, -e, "${isReady}"], start_period: 40s, start_interval: 1s },
    }`;
}

function docker(...command: string[]): boolean {
  const { status } = spawnSync('docker', [...compose, ...command], {
    cwd: root,
    env: { ...process.env, ISSUER: BASE_URL },
    stdio: 'inherit',
  });
  return status === 0;
}
