import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeSettings } from '@gatehouse/test-kit';
import { allUpstreamsAt } from '../src/app.ts';

test('R40 a wrong environment is exit code 78 and one line for each fault', async () => {
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
  const env = { PATH: process.env.PATH, ISSUER: 'http://localhost:8080/', USERS_URL: 'users', PORT: 'x' };
  const child = spawn(process.execPath, [main], {
    env: { ...nodeSettings, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 78);
  const lines = text.trim().split('\n');
  const names = ['ISSUER', 'PORT', 'JWKS_URI', 'REDIS_URL', ...Object.keys(allUpstreamsAt(''))];
  assert.ok(names.includes('USERS_URL'));
  for (const name of names) {
    assert.equal(
      lines.filter((line) => line.startsWith(`gateway: ${name}: `)).length,
      1,
      `${name} in ${text}`,
    );
  }
  assert.equal(lines.length, names.length);
});
