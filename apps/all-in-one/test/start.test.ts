import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '@gatehouse/service-kit';
import { listenApp, realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { banner } from '../src/banner.ts';
import { AllInOneConfigSchema } from '../src/config.ts';
import { startSystem } from '../src/start.ts';

const anyPort = { AUTH_PORT: '0', USERS_PORT: '0', ITEMS_PORT: '0', ORDERS_PORT: '0', LOG_LEVEL: 'silent' };

function dataDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'all-in-one-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A port that was free a moment ago: the issuer names it before the gateway listens. */
async function freePort(): Promise<string> {
  const { port, close } = await listenApp(() => {});
  await close();
  return String(port);
}

async function start(env: Record<string, string>) {
  return startSystem(loadConfig(AllInOneConfigSchema, { ...anyPort, PORT: await freePort(), ...env }));
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
  const system = await start({ DATA_DIR: directory, METRICS_PORT: await freePort() });
  t.after(() => system.close());
  await assertRevocable(system.issuer);
  assert.equal(statSync(join(directory, 'encryption-key')).mode & 0o777, 0o600);
  assert.match(readFileSync(join(directory, 'encryption-key'), 'utf8'), /^[\w-]{43}$/);
});

test('one metrics port tells of every service', async (t) => {
  const metricsPort = await freePort();
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
  for (const shown of [...Object.values(system.urls).slice(1), 'carol-demo-pass', 'disabled', 'curl -s']) {
    assert.ok(text.includes(shown), shown);
  }
  assert.doesNotMatch(banner(system, { demo: false, password: false }), /demo-pass|curl/);
});

const needed = { skip: realServer('postgres').skip || realServer('redis').skip };

test('DATABASE_URL and REDIS_URL take the place of the embedded stores', needed, async (t) => {
  const [postgres, redis] = await Promise.all([startPostgres(t), startRedis(t)]);
  const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, DATA_DIR: dataDirectory(t) };
  const system = await start(env);
  t.after(() => system.close());
  await assertRevocable(system.issuer);
});
