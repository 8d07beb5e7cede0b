import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DrizzleQueryError } from 'drizzle-orm';
import { createLogger } from '../src/index.ts';

function capture() {
  const lines: string[] = [];
  const logger = createLogger({ name: 'items', level: 'info' }, { write: (line) => lines.push(line) });
  return { logger, lines };
}

test('blanks fields that hold secrets, one level deep too', () => {
  const { logger, lines } = capture();
  logger.info({ password: 's1', headers: { authorization: 's2', cookie: 's3' }, code: 's4' }, 'hello');
  assert.equal(lines.length, 1);
  assert.doesNotMatch(String(lines[0]), /s[1-4]/);
  assert.match(String(lines[0]), /"service":"items"/);
});

test('a failed query is logged without its parameters', () => {
  const { logger, lines } = capture();
  const cause = Object.assign(new Error('duplicate key'), {
    detail: 'Key (email)=(secret@example.com)',
    code: '23505',
  });
  logger.error({ err: new DrizzleQueryError('insert into t values ($1)', ['hunter2'], cause) }, 'failed');
  assert.match(String(lines[0]), /duplicate key/);
  assert.match(String(lines[0]), /23505/);
  assert.doesNotMatch(String(lines[0]), /hunter2|secret@example/);
});

test('H35 a line break in a value stays inside one JSON line', () => {
  const { logger, lines } = capture();
  logger.info({ path: '/a\r\n{"level":"error"}' }, 'request');
  assert.equal(String(lines[0]).trimEnd().split('\n').length, 1);
});
