import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { nodeSettings } from '@gatehouse/test-kit';
import { DrizzleQueryError } from 'drizzle-orm';
import { createLogger } from '../src/index.ts';
import { openAccessLog, openLogOutput } from '../src/log.ts';

function capture() {
  const lines: string[] = [];
  const logger = createLogger({ name: 'items', level: 'info' }, { write: (line) => lines.push(line) });
  return { logger, lines };
}

test('blanks fields that hold secrets, one level deep too', () => {
  const { logger, lines } = capture();
  const names =
    'authorization cookie password secret token code client_secret access_token refresh_token id_token code_verifier';
  const secrets = Object.fromEntries(names.split(' ').map((name) => [name, 'hunter2']));
  logger.info({ ...secrets, headers: secrets }, 'hello');
  assert.equal(lines.length, 1);
  assert.doesNotMatch(String(lines[0]), /hunter2/);
  assert.match(String(lines[0]), /"service":"items"/);
});

test('a failed query is logged without its parameters, also as the cause of another error', () => {
  const { logger, lines } = capture();
  const cause = Object.assign(new Error('duplicate key'), {
    detail: 'Key (email)=(secret@example.com)',
    code: '23505',
  });
  const failed = new DrizzleQueryError('insert into t values ($1)', ['hunter2'], cause);
  logger.error({ err: failed }, 'failed');
  logger.error({ err: new Error('unavailable', { cause: failed }) }, 'failed');
  assert.equal(lines.length, 2);
  for (const line of lines) {
    assert.match(line, /duplicate key/);
    assert.match(line, /23505/);
    assert.doesNotMatch(line, /hunter2|secret@example/);
  }
});

test('H35 a line break in a value stays inside one JSON line', () => {
  const { logger, lines } = capture();
  logger.info({ path: '/a\r\n{"level":"error"}' }, 'request');
  assert.equal(String(lines[0]).trimEnd().split('\n').length, 1);
});

test('H35 the line of a request names its service, stays one line whatever is in it, and is none where the level is above info', () => {
  const { logger, lines } = capture();
  const logRequest = openAccessLog(logger.child({ service: 'items' }));
  logRequest({ path: '/a\r\n{"level":"error"}', client: undefined });
  assert.equal(lines.length, 1);
  assert.equal(String(lines[0]).trimEnd().split('\n').length, 1);
  const { time, ...line } = JSON.parse(String(lines[0]));
  assert.match(time, /^\d{4}-\d\d-\d\dT/);
  assert.equal(line.service, 'items');
  assert.equal(line.level, 'info');
  assert.equal(line.msg, 'request');
  assert.equal(line.path, '/a\r\n{"level":"error"}');
  logger.level = 'warn';
  const quiet = openAccessLog(logger.child({}));
  quiet({ path: '/' });
  assert.equal(lines.length, 1);
});

const noSpace = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });

test('R35 a process whose log goes to a full disk says so once, goes on, and stops when it is told to', async () => {
  const fixture = fileURLToPath(new URL('fixtures/logging-process.ts', import.meta.url));
  const full = fs.openSync('/dev/full', 'w');
  const child = spawn(process.execPath, [fixture], { env: nodeSettings, stdio: ['ignore', full, 'pipe'] });
  fs.closeSync(full);
  const exited = once(child, 'close');
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  while (stderr === '') await delay(20);
  // Some more of the ten flushes a second fail.
  await delay(300);
  assert.equal(child.exitCode, null);
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
  assert.equal(stderr, 'the log cannot be written: ENOSPC\n');
});

/** A log in a file, and what standard error is told of it. */
function openLog(t: TestContext) {
  const file = join(fs.mkdtempSync(join(tmpdir(), 'gatehouse-log-')), 'log');
  const fd = fs.openSync(file, 'w');
  const told: string[] = [];
  t.mock.method(process.stderr, 'write', (text: string) => text.startsWith('the log ') && told.push(text));
  const output = openLogOutput(fd);
  t.after(async () => {
    t.mock.restoreAll();
    output.end();
    await once(output, 'close');
  });
  return { file, fd, told, output };
}

const line = `${'x'.repeat(1023)}\n`;

function lostOf(told: string | undefined): number {
  return Number(/^the log is written again, without (\d+) lines\n$/.exec(String(told))?.[1]);
}

test('R35 while a disk is full some lines are held and the rest is counted, and the log goes on once it is not', async (t) => {
  const { file, fd, told, output } = openLog(t);
  const write = fs.write;
  const full = t.mock.method(fs, 'write', ((...args: Parameters<typeof fs.write>) => {
    // Other tests of this process have logs too.
    if (args[0] === fd) setImmediate(args.at(-1) as (error: Error) => void, noSpace);
    else write(...args);
  }) as never);
  const written = 10_000;
  for (let count = 0; count < written; count++) output.write(line);
  while (told.length === 0) await delay(20);
  full.mock.restore();
  while (told.length === 1) await delay(20);
  const [first, second] = told;
  assert.equal(first, 'the log cannot be written: ENOSPC\n');
  const lost = lostOf(second);
  assert.ok(lost > 0 && lost < written, String(second));
  const kept = (written - lost) * line.length;
  assert.ok(kept <= 4 * 1024 * 1024 && kept > 4 * 1024 * 1024 - 2 * line.length, String(kept));
  while (fs.statSync(file).size < kept) await delay(20);
  assert.equal(fs.statSync(file).size, kept);
});

test('R35 of lines lost again and again standard error is told once a second, and of all of them', async (t) => {
  const { file, told, output } = openLog(t);
  const [bursts, inEach] = [10, 5_000];
  const began = performance.now();
  for (let count = 0; count < bursts; count++) {
    for (let written = 0; written < inEach; written++) output.write(line);
    await once(output, 'write');
  }
  const seconds = (performance.now() - began) / 1_000;
  assert.ok(told.length > 0 && told.length <= 1 + seconds, `${told.length} in ${seconds} s`);
  await delay(1_100);
  output.write('\n');
  await once(output, 'write');
  const lost = told.reduce((sum, text) => sum + lostOf(text), 0);
  assert.ok(lost > 0);
  assert.equal(fs.readFileSync(file, 'latin1').match(/x+/g)?.length, bursts * inEach - lost);
});
