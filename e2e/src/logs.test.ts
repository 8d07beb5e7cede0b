import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { remembered } from './secrets.ts';

const log = readFileSync(process.env.LOG_FILE ?? '', 'utf8');

// Docker may put something in front of a line.
const entries = [...log.matchAll(/\{"level".*\}$/gm)].map(([entry]) => JSON.parse(entry));

test('the log tells of every hop, and of no request that failed for a fault of ours', () => {
  for (const service of ['gateway', 'auth', 'users', 'items', 'orders']) {
    const requests = entries.filter((entry) => entry.service === service && entry.msg === 'request');
    assert.ok(requests.length > 10, `${service} logged ${requests.length} requests`);
  }
  const failed = entries.filter(({ status, path, level }) => {
    return (status >= 500 && path !== '/health/ready') || level === 'error' || level === 'fatal';
  });
  assert.deepEqual(failed, []);
});

test('H36 no token, code, password, cookie or secret that the flows used is in the log', () => {
  // Shorter ones are words that a log may well use: johndoe's password is "secret".
  const secrets = [...remembered()].filter((value) => value.length >= 8);
  assert.ok(secrets.length > 100, `${secrets.length} secrets were noted`);
  for (const secret of secrets) {
    const at = log.indexOf(secret);
    // The message must not repeat the secret.
    if (at >= 0) assert.fail(`a secret of ${secret.length} characters is in the log, after: ${before(at)}`);
  }
  assert.doesNotMatch(log, /eyJ[\w-]+\.eyJ[\w-]+\./, 'a JWT is in the log');
});

function before(at: number): string {
  return log.slice(log.lastIndexOf('\n', at) + 1, at);
}
