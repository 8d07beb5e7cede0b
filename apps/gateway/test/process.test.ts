import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort, nodeSettings } from '@gatehouse/test-kit';
import { allUpstreamsAt } from '../src/start.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

test('R40 a wrong environment is exit code 78 and one line for each fault', async () => {
  const env = {
    PATH: process.env.PATH,
    ISSUER: 'http://localhost:8080/',
    USERS_URL: 'users',
    PORT: 'x',
    MAX_WAIT_MS: '5001',
  };
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
  const names = [
    'ISSUER',
    'PORT',
    'JWKS_URI',
    'REDIS_URL',
    'MAX_WAIT_MS',
    ...Object.keys(allUpstreamsAt('')),
  ];
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

test('a gateway loads nothing of a database', () => {
  const script = `
    const { registerHooks } = await import('node:module');
    const loaded = [];
    registerHooks({
      load(url, context, nextLoad) {
        loaded.push(url);
        return nextLoad(url, context);
      },
    });
    await import(${JSON.stringify(new URL('../src/start.ts', import.meta.url).href)});
    console.log(JSON.stringify(loaded));
  `;
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    env: nodeSettings,
  });
  const loaded = JSON.parse(output.toString()) as string[];
  assert.ok(loaded.some((url) => url.includes('/node_modules/express/')));
  assert.deepEqual(
    loaded.filter((url) => /\/node_modules\/(?:pg|drizzle-orm)\/(?!errors\.js$|entity\.js$)/.test(url)),
    [],
  );
});

test('npm start ends once npm is told to, and leaves no gateway behind', async (t) => {
  const nowhere = 'http://127.0.0.1:1';
  const child = spawn('npm', ['start'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: {
      ...nodeSettings,
      PATH: process.env.PATH,
      ...allUpstreamsAt(nowhere),
      ISSUER: nowhere,
      PORT: '0',
      JWKS_URI: `${nowhere}/jwks`,
      REDIS_URL: 'redis://127.0.0.1:1',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  t.after(() => child.stdout.closed || process.kill(-Number(child.pid), 'SIGKILL'));
  for await (const line of createInterface(child.stdout)) if (line.includes('"listening"')) break;
  child.kill('SIGTERM');
  child.stdout.resume();
  // Whatever is left of it would hold on to its output.
  await once(child.stdout, 'close', { signal: AbortSignal.timeout(20_000) });
});

test('R34 out of file descriptors the gateway says 503, and heals once there are some', async (t) => {
  const upstream = createServer((_req, res) => res.end('{}')).listen(0, '127.0.0.1');
  t.after(() => upstream.close());
  await once(upstream, 'listening');
  const origin = `http://127.0.0.1:${await freePort()}`;
  const nowhere = `127.0.0.1:${await freePort()}`;
  const child = spawn('sh', ['-c', 'ulimit -n 64 && exec "$@"', 'sh', process.execPath, main], {
    env: {
      ...nodeSettings,
      ...allUpstreamsAt(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`),
      ISSUER: origin,
      HOST: '127.0.0.1',
      PORT: new URL(origin).port,
      JWKS_URI: `http://${nowhere}/jwks`,
      REDIS_URL: `redis://${nowhere}`,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  for await (const line of createInterface(child.stdout)) if (line.includes('"listening"')) break;
  child.stdout.resume();

  const { hostname, port, host } = new URL(origin);
  const path = '/.well-known/openid-configuration';
  const statuses: string[] = [];
  const clients: Socket[] = [];
  const openOne = () =>
    new Promise<void>((resolve) => {
      const client = connect(Number(port), hostname, resolve);
      client.on('error', () => {}).on('data', (chunk) => statuses.push(String(chunk).slice(9, 12)));
      clients.push(client);
    });
  for (let count = 0; count < 200; count++) await openOne();
  for (const client of clients)
    if (client.writable) client.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  // Each is answered, or its connection was never taken.
  while (clients.some((client) => !client.destroyed && client.bytesRead === 0)) await delay(20);
  assert.ok(statuses.includes('503'), String(statuses));
  assert.deepEqual(
    [...new Set(statuses)].filter((status) => status !== '200' && status !== '503'),
    [],
  );

  for (const client of clients) client.destroy();
  for (let tries = 0; ; tries++) {
    const answer = await fetch(origin + path).catch(() => undefined);
    if (answer?.status === 200) break;
    assert.ok(tries < 100, String(answer?.status));
    await delay(100);
  }
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});
