import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { temporaryDirectory } from '../system.ts';

// Follows what `npm run new-service` prints, in a copy of this working tree, and calls the new service through the gateway.
// Its name is one that nobody gives to a service of theirs.
const root = join(import.meta.dirname, '../../..');
const copy = temporaryDirectory().path;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

copySources();
copyPackages();
run('npm', 'run', '--silent', 'new-service', '--', 'tin-trinkets');
// What the service needs is in the lock file already, and so is installed.
run('npm', 'install', '--offline');
if (/"resolved": "https?:/.test(readFileSync(join(copy, 'package-lock.json'), 'utf8')))
  fail('package-lock.json names a registry');
run('npm', 'run', '--silent', 'db:generate', '-w', '@gatehouse/tin-trinkets');
if (globSync('apps/tin-trinkets/migrations/*.sql', { cwd: copy }).length !== 1)
  fail('the migration is not what drizzle-kit makes of the schema');
run('npm', 'run', '--silent', 'access');
run('npm', 'run', '--silent', 'fix');
run('npm', 'run', '--silent', 'check');
run('npm', 'test', '-w', '@gatehouse/tin-trinkets');
run(process.execPath, '--test', 'apps/all-in-one/test/readme.test.ts');
if (spawnSync('docker', ['compose', 'version']).status === 0) run('docker', 'compose', 'config', '--quiet');
else process.stdout.write('not checked, for want of docker: docker compose config\n');
run(process.execPath, 'e2e/src/new-service/run-generated.ts');
if (spawnSync('docker', ['info'], { timeout: 30_000 }).status === 0)
  run(process.execPath, 'e2e/src/new-service/run-containers.ts');
else process.stdout.write('not checked, for want of a docker engine: the container of the new service\n');

function copySources(): void {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { stdout } = spawnSync('git', list, { cwd: root, encoding: 'utf8' });
  for (const file of stdout.split('\0').filter((name) => name !== '')) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
}

// By hard links where they reach. What npm and the tools write in place must not be shared.
function copyPackages(): void {
  const [from, to] = [join(root, 'node_modules'), join(copy, 'node_modules')];
  if (spawnSync('cp', ['-al', from, to]).status !== 0) {
    rmSync(to, { recursive: true, force: true });
    run('cp', '-a', from, to);
  }
  rmSync(join(to, '.cache'), { recursive: true, force: true });
  rmSync(join(to, '.package-lock.json'));
  cpSync(join(from, '.package-lock.json'), join(to, '.package-lock.json'));
}

function run(command: string, ...parameters: string[]): void {
  const startedAt = performance.now();
  const { status, error } = spawnSync(command, parameters, { cwd: copy, stdio: 'inherit' });
  const line = [command, ...parameters].join(' ');
  if (status !== 0) fail(`${line}: ${error?.message ?? `ended with ${status}`}`);
  process.stdout.write(`${line}: ok, ${Math.round(performance.now() - startedAt)} ms\n`);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
