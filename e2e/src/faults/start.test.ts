import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertExit, freePorts, startProcess, startSystem, temporaryDirectory } from '../system.ts';
import { ownLines, ports } from './own-system.ts';

test('a bad variable ends the start with 78 and one line for each fault', async () => {
  using directory = temporaryDirectory();
  const faults = { PORT: 'many', LOG_LEVEL: 'loud', DEMO: 'perhaps', ENCRYPTION_KEY: 'short' };
  const started = startProcess({ DATA_DIR: join(directory.path, 'data'), ...faults });
  await assertExit(started, 78);
  const lines = ownLines(started);
  assert.equal(lines.length, 4, lines.join('\n'));
  for (const [name, value] of Object.entries(faults)) {
    const line = lines.find((candidate) => candidate.startsWith(`gatehouse: ${name}: `));
    assert.ok(line, `${name} is not named in ${lines.join('\n')}`);
    assert.ok(!line.includes(value), 'the value is repeated, which could be a secret');
  }
});

test('a busy port ends the start with one line that names it and its variable', async () => {
  const free = await freePorts();
  for (const name of ['PORT', 'ITEMS_PORT'] as const) {
    using directory = temporaryDirectory();
    await using other = createServer().listen(free[name], '127.0.0.1');
    await once(other, 'listening');
    const started = startProcess({ DATA_DIR: directory.path, ...free });
    await assertExit(started, 1);
    const lines = ownLines(started);
    assert.equal(lines.length, 1, lines.join('\n'));
    assert.match(lines[0] ?? '', new RegExp(`^gatehouse: ${name}: port ${free[name]} .* in use`));
  }
});

test('a second instance on one data directory ends with one line, and the first goes on', async () => {
  using directory = temporaryDirectory();
  const first = await startSystem(directory.path, ports);
  const second = startProcess({ DATA_DIR: directory.path, ...(await freePorts()) });
  await assertExit(second, 1);
  const lines = ownLines(second);
  assert.equal(lines.length, 1, lines.join('\n'));
  assert.match(lines[0] ?? '', /^gatehouse: the data directory .* in use/);
  await first.stop();
});
