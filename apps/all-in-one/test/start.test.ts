import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { loadConfig } from '@gatehouse/service-kit';
import { freePort, realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { banner } from '../src/banner.ts';
import { AllInOneConfigSchema } from '../src/config.ts';
import { startSystem } from '../src/start.ts';
import { anyServicePort } from './any-service-port.ts';

function dataDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'all-in-one-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function start(env: Record<string, string>) {
  return startSystem(
    loadConfig(AllInOneConfigSchema, {
      ...anyServicePort,
      LOG_LEVEL: 'silent',
      PORT: String(await freePort()),
      ...env,
    }),
  );
}

async function signIn(issuer: string): Promise<string> {
  const form = { grant_type: 'password', client_id: 'demo-first-party', username: 'alice' };
  const body = new URLSearchParams({ ...form, password: 'alice-demo-pass', scope: 'orders:read' });
  const response = await fetch(`${issuer}/token`, { method: 'POST', body });
  return ((await response.json()) as { access_token: string }).access_token;
}

async function assertRevocable(issuer: string): Promise<void> {
  const token = await signIn(issuer);
  const orders = () => fetch(`${issuer}/orders`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal((await orders()).status, 200);
  const body = new URLSearchParams({ client_id: 'demo-first-party', token });
  assert.equal((await fetch(`${issuer}/revoke`, { method: 'POST', body })).status, 200);
  // Other processes follow the log; here it takes a moment.
  for (let tries = 0; (await orders()).status !== 401; tries += 1) assert.ok(tries < 100, 'still accepted');
}

test('signs in, calls and revokes on embedded stores, and keeps its key in the data directory', async (t) => {
  const directory = dataDirectory(t);
  const system = await start({ DATA_DIR: directory, METRICS_PORT: String(await freePort()) });
  t.after(() => system.close());
  await assertRevocable(system.issuer);
  assert.equal(statSync(join(directory, 'encryption-key')).mode & 0o777, 0o600);
  assert.match(readFileSync(join(directory, 'encryption-key'), 'utf8'), /^[\w-]{43}$/);
});

test('takes clients of its own from a file', async (t) => {
  const directory = dataDirectory(t);
  const secret = 'a-secret-of-more-than-32-characters-for-tests';
  const reporter = { client_id: 'reporter', client_name: 'Reporter', client_secret: secret };
  const client = { ...reporter, grant_types: ['client_credentials'], allowed_scopes: 'items:read' };
  const file = join(directory, 'clients.json');
  writeFileSync(file, JSON.stringify([client]));
  const system = await start({ DATA_DIR: join(directory, 'data'), CLIENTS_FILE: file });
  t.after(() => system.close());
  const body = new URLSearchParams({ grant_type: 'client_credentials', scope: 'items:read' });
  const authorization = `Basic ${btoa(`reporter:${secret}`)}`;
  const answer = await fetch(`${system.issuer}/token`, { method: 'POST', body, headers: { authorization } });
  const { access_token } = (await answer.json()) as { access_token: string };
  const headers = { authorization: `Bearer ${access_token}` };
  assert.equal((await fetch(`${system.issuer}/items`, { headers })).status, 200);
});

test('one metrics port tells of every service', async (t) => {
  const metricsPort = String(await freePort());
  const system = await start({ DATA_DIR: dataDirectory(t), METRICS_PORT: metricsPort });
  t.after(() => system.close());
  await assertRevocable(system.issuer);
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  assert.match(text, /http_request_duration_seconds_count\{service="gateway",.*status="401"\} 1/);
  assert.match(
    text,
    /http_request_duration_seconds_count\{service="orders",.*route="\/orders",status="200"\} 1/,
  );
  assert.match(text, /auth_verdicts_total\{service="gateway",verdict="invalid_token"\} 1/);
});

test('the banner has every address and account, and no password grant where there is none', async (t) => {
  const system = await start({ DATA_DIR: dataDirectory(t) });
  t.after(() => system.close());
  const text = banner(system, { demo: true, password: true });
  const addresses = [...Object.values(system.urls).slice(1), `${system.issuer}/explorer/`];
  for (const shown of [...addresses, 'carol-demo-pass', 'disabled', 'curl -s']) {
    assert.ok(text.includes(shown), shown);
  }
  assert.doesNotMatch(banner(system, { demo: false, password: false }), /demo-pass|curl/);
});

test('the commands of the banner work when pasted: an order list, then the refusal of the revoked token', async (t) => {
  const system = await start({ DATA_DIR: dataDirectory(t) });
  t.after(() => system.close());
  const commands = banner(system, { demo: true, password: true }).split('refused:').at(-1) ?? '';
  const { stdout } = await promisify(execFile)('sh', ['-e', '-c', commands]);
  assert.match(stdout, /^\{"items":\[\{"id":/);
  assert.match(stdout, /HTTP\/1\.1 401 .*error="invalid_token"/s);
});

test('R40 a key file that is not whole is refused, never replaced', async (t) => {
  const directory = dataDirectory(t);
  writeFileSync(join(directory, 'encryption-key'), '');
  await assert.rejects(start({ DATA_DIR: directory }), /encryption-key does not hold a key/);
  assert.equal(readFileSync(join(directory, 'encryption-key'), 'utf8'), '');
});

const needed = { skip: realServer('postgres').skip || realServer('redis').skip };

test('DATABASE_URL and REDIS_URL take the place of the embedded stores', needed, async (t) => {
  const [postgres, redis] = await Promise.all([startPostgres(t), startRedis(t)]);
  const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, DATA_DIR: dataDirectory(t) };
  const system = await start(env);
  t.after(() => system.close());
  await assertRevocable(system.issuer);
});

test(
  'R20 Redis stopped: accepted and refused as before, then 503 everywhere; back: accepted and refused again',
  needed,
  async (t) => {
    const redis = await startRedis(t, { own: true });
    const system = await start({ REDIS_URL: redis.url, DATA_DIR: dataDirectory(t) });
    t.after(() => system.close());
    const [live, revoked] = await Promise.all([signIn(system.issuer), signIn(system.issuer)]);
    const body = new URLSearchParams({ client_id: 'demo-first-party', token: revoked });
    await fetch(`${system.issuer}/revoke`, { method: 'POST', body });
    const statuses = () =>
      Promise.all(
        [system.issuer, system.urls.orders].flatMap((url) =>
          [live, revoked].map(async (token) => {
            const headers = { Authorization: `Bearer ${token}` };
            return (await fetch(`${url}/orders`, { headers })).status;
          }),
        ),
      );
    const until = async (expected: number[]) => {
      for (const giveUpAt = Date.now() + 10_000; ; await delay(50)) {
        const seen = await statuses();
        if (seen.join() === expected.join()) return;
        // Between the two only a copy too old to decide is right: never 200 for what is revoked, never 401 for the other.
        for (const [index, status] of seen.entries())
          assert.ok([503, [200, 401][index % 2]].includes(status), seen.join());
        assert.ok(Date.now() < giveUpAt, `${seen} is not ${expected}`);
      }
    };
    await until([200, 401, 200, 401]);
    await redis.stop();
    assert.deepEqual(await statuses(), [200, 401, 200, 401]);
    await until([503, 503, 503, 503]);
    await redis.restart();
    await until([200, 401, 200, 401]);
  },
);
