import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

// In the order of docs/performance.md.
const parts = ['gateway', 'scale', 'latency', 'overload', 'soak', 'revocation', 'token', 'service'];

const [, , ...named] = process.argv;
const unknown = named.filter((name) => !parts.includes(name));
if (unknown.length > 0) throw new Error(`no such part: ${unknown.join(', ')}; there are ${parts.join(', ')}`);

for (const part of named.length > 0 ? named : parts) {
  const file = fileURLToPath(new URL(`./${part}.ts`, import.meta.url));
  const { status } = spawnSync(process.execPath, [file], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}
