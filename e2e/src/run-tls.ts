import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { temporaryDirectory } from './system.ts';

// Ctrl-C reaches the run too, which ends by itself.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});

using directory = temporaryDirectory();
const script = new URL('../../infra/tls/make-certificates.sh', import.meta.url).pathname;
execFileSync(script, [directory.path], { stdio: 'ignore' });
// Node reads NODE_EXTRA_CA_CERTS when it starts, so this takes a process of its own.
const run = spawn(process.execPath, [join(import.meta.dirname, 'run.ts')], {
  env: {
    ...process.env,
    TLS_DIRECTORY: directory.path,
    NODE_EXTRA_CA_CERTS: join(directory.path, 'authority.pem'),
  },
  stdio: 'inherit',
});
const [code] = await once(run, 'close');
process.exitCode = code ?? 1;
