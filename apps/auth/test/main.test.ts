import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeSettings } from '@gatehouse/test-kit';

const demoSecrets = fileURLToPath(new URL('../../../infra/secrets/demo', import.meta.url));
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

function run(env: Record<string, string>): Promise<{ code: unknown; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main],
      { env: { ...nodeSettings, ...env }, timeout: 20_000 },
      (error, _stdout, stderr) => {
        resolve({ code: error?.code ?? 0, stderr });
      },
    );
  });
}

test('R40 lists every fault of its configuration, and no value, and exits 78', async () => {
  const { code, stderr } = await run({
    PORT: '70000',
    ISSUER: 'auth.example',
    ENCRYPTION_KEY: 'too-short-to-be-a-key',
  });
  assert.equal(code, 78);
  for (const name of [
    'PORT',
    'ISSUER',
    'DATABASE_URL',
    'REDIS_URL',
    'ENCRYPTION_KEY',
    'ORDERS_CLIENT_SECRET',
    'USERS_CLIENT_SECRET',
  ]) {
    assert.match(stderr, new RegExp(`^auth: ${name}: `, 'm'));
  }
  assert.doesNotMatch(stderr, /too-short-to-be-a-key/);
});

test('R40 A38 A57 refuses demo data, the secrets of the demo, an issuer without TLS and keys that sign unseen in production, whatever else is wrong', async () => {
  const { code, stderr } = await run({
    NODE_ENV: 'production',
    PORT: '0',
    ISSUER: 'http://auth.example',
    DATABASE_URL: 'http://nowhere.invalid/auth',
    REDIS_URL: 'nowhere.invalid:6379',
    ENCRYPTION_KEY_FILE: `${demoSecrets}/encryption-key`,
    ORDERS_CLIENT_SECRET_FILE: `${demoSecrets}/orders-client-secret`,
    USERS_CLIENT_SECRET_FILE: `${demoSecrets}/users-client-secret`,
    DEMO: 'true',
    KEY_PUBLISH_SECONDS: '69',
  });
  assert.equal(code, 78);
  const faulty = ['DATABASE_URL', 'REDIS_URL', 'DEMO', 'ENCRYPTION_KEY', 'KEY_PUBLISH_SECONDS'];
  for (const name of [...faulty, 'ORDERS_CLIENT_SECRET', 'USERS_CLIENT_SECRET']) {
    assert.match(stderr, new RegExp(`^auth: ${name}: `, 'm'));
  }
  assert.match(stderr, /^auth: ISSUER: must be https/m);
});

test('R40 refuses half a provider for sign-in elsewhere, and one that is asked without TLS', async () => {
  const whole = {
    PORT: '0',
    ISSUER: 'http://localhost:8080',
    DATABASE_URL: 'postgres://nowhere.invalid/auth',
    REDIS_URL: 'redis://nowhere.invalid',
    ENCRYPTION_KEY: 'A'.repeat(43),
    ORDERS_CLIENT_SECRET: 'orders-secret-for-tests',
    USERS_CLIENT_SECRET: 'users-secret-for-tests',
  };
  const faulty: [Record<string, string>, string[]][] = [
    [{ FEDERATION_PRESET: 'google' }, ['FEDERATION_CLIENT_ID', 'FEDERATION_CLIENT_SECRET']],
    [
      { FEDERATION_CLIENT_ID: 'some-id', FEDERATION_CLIENT_SECRET: 'some-secret' },
      ['FEDERATION_ISSUER', 'FEDERATION_NAME'],
    ],
    [
      {
        FEDERATION_ISSUER: 'http://login.example',
        FEDERATION_NAME: 'Login',
        FEDERATION_CLIENT_ID: 'some-id',
        FEDERATION_CLIENT_SECRET: 'some-secret',
      },
      ['FEDERATION_ISSUER'],
    ],
    [
      {
        FEDERATION_PRESET: 'google',
        FEDERATION_ISSUER: 'https://login.example',
        FEDERATION_CLIENT_ID: 'some-id',
        FEDERATION_CLIENT_SECRET: 'some-secret',
      },
      ['FEDERATION_ISSUER'],
    ],
    [{ FEDERATION_PRESET: 'gogle' }, ['FEDERATION_PRESET']],
    [{ FEDERATION_ISSUER: 'login.example' }, ['FEDERATION_ISSUER']],
  ];
  for (const [variables, names] of faulty) {
    const { code, stderr } = await run({ ...whole, ...variables });
    assert.equal(code, 78, stderr);
    const lines = stderr.trim().split('\n');
    assert.deepEqual(
      lines.map((line) => /^auth: ([A-Z_]+): /.exec(line)?.[1]),
      names,
    );
    assert.doesNotMatch(stderr, /some-secret/);
  }
});
