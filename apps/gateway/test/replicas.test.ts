import assert from 'node:assert/strict';
import type { lookup } from 'node:dns';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Pool } from 'undici';
import { createSpreadingLookup } from '../src/replicas.ts';

/** Replicas of a service on one port of several addresses, and a pool that reaches them by one name. */
async function startReplicas(t: TestContext, addresses: readonly string[]) {
  const servers: Server[] = [];
  let port = 0;
  for (const address of addresses) {
    // A connection for each request, so that each one is spread.
    const server = createServer((_req, res) => res.setHeader('Connection', 'close').end(address));
    await new Promise<void>((resolve) => server.listen(port, address, resolve));
    ({ port } = server.address() as AddressInfo);
    servers.push(server);
    t.after(() => server.close());
  }
  let known: readonly string[] = addresses;
  const resolve = ((_name: string, _options: unknown, answer: (...args: unknown[]) => void) => {
    if (known.length === 0) answer(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }));
    else
      answer(
        null,
        known.map((address) => ({ address, family: 4 })),
      );
  }) as typeof lookup;
  const pool = new Pool(`http://replicas.example:${port}`, {
    connect: { lookup: createSpreadingLookup(resolve) },
  });
  t.after(() => pool.destroy());
  return {
    servers,
    resolveTo: (found: readonly string[]) => {
      known = found;
    },
    async ask() {
      const { body } = await pool.request({ path: '/', method: 'GET' });
      return body.text();
    },
  };
}

async function many<Answer>(ask: () => Promise<Answer>): Promise<Set<Answer>> {
  const answers = new Set<Answer>();
  for (let count = 0; count < 20; count++) answers.add(await ask());
  return answers;
}

test('R02 every replica behind a name has its share, and one that is gone is passed over at once', async (t) => {
  const { ask, servers } = await startReplicas(t, ['127.0.0.1', '127.0.0.2']);
  assert.deepEqual(await many(ask), new Set(['127.0.0.1', '127.0.0.2']));
  await new Promise((resolve) => servers[1]?.close(resolve));
  assert.deepEqual(await many(ask), new Set(['127.0.0.1']));
});

test('R38 a name is resolved anew for each connection: replicas come and go, and one that was not there yet is found', async (t) => {
  const { ask, resolveTo } = await startReplicas(t, ['127.0.0.1', '127.0.0.2']);
  resolveTo([]);
  await assert.rejects(ask(), { code: 'ENOTFOUND' });
  resolveTo(['127.0.0.2']);
  assert.deepEqual(await many(ask), new Set(['127.0.0.2']));
  resolveTo(['127.0.0.1']);
  assert.deepEqual(await many(ask), new Set(['127.0.0.1']));
});
