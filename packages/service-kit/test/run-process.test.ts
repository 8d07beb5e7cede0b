import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeSettings } from '@gatehouse/test-kit';

const fixture = fileURLToPath(new URL('fixtures/process.ts', import.meta.url));

async function run(
  env: Record<string, string>,
  onStartedAndClosing?: (kill: (signal: NodeJS.Signals) => void) => void,
) {
  const child = spawn(process.execPath, [fixture], {
    env: { ...nodeSettings, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
    if (/started|draining|closing/.test(String(chunk))) onStartedAndClosing?.((signal) => child.kill(signal));
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [exitCode] = await once(child, 'close');
  return { exitCode, stdout, stderr };
}

test('R40 a wrong configuration is one line a fault and exit 78', async () => {
  const { exitCode, stderr } = await run({ MODE: 'walk' });
  assert.equal(exitCode, 78);
  const lines = stderr.trim().split('\n');
  assert.equal(lines.length, 2);
  assert.match(String(lines[0]), /^fixture: MODE: /);
  assert.equal(lines[1], 'fixture: SIZE: is required');
});

test('a start that fails is one line and exit 1', async () => {
  const { exitCode, stderr } = await run({ MODE: 'fail', SIZE: '1' });
  assert.equal(exitCode, 1);
  assert.equal(stderr, 'fixture: the port is taken\n');
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // Ctrl-C under npm arrives twice: from the terminal, and from npm, which passes it on.
  test(`${signal} closes and exits 0, also when it comes again meanwhile`, async () => {
    const { exitCode, stdout } = await run({ MODE: 'run', SIZE: '1' }, (kill) => kill(signal));
    assert.equal(exitCode, 0);
    assert.match(stdout, /closed/);
  });
}

test('a SIGTERM that comes again hurries the drain', async () => {
  const { exitCode, stdout } = await run({ MODE: 'drain', SIZE: '1' }, (kill) => kill('SIGTERM'));
  assert.equal(exitCode, 0);
  assert.equal(stdout, 'started\ndraining\nhurried\nclosing\nclosed\n');
});

for (const MODE of ['throw', 'reject']) {
  test(`R37 an error that nobody caught is printed, closes and exits 1: ${MODE}`, async () => {
    const { exitCode, stdout, stderr } = await run({ MODE, SIZE: '1' });
    assert.equal(exitCode, 1);
    assert.match(stderr, /nobody caught this/);
    assert.match(stdout, /closed/);
  });
}
