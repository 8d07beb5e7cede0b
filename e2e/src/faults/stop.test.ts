import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { call } from '../http.ts';
import { tokenOf } from '../sign-in.ts';
import { assertExit, startSystem, temporaryDirectory } from '../system.ts';
import { gateway } from '../target.ts';
import { ports } from './own-system.ts';

test('Ctrl-C drains: the request in flight is answered, no new one is taken, and the exit code is 0', async () => {
  using directory = temporaryDirectory();
  const system = await startSystem(directory.path, ports);
  const token = await tokenOf('alice', 'items:read items:write');
  const body = JSON.stringify({ name: 'In flight', priceCents: 1, stock: 1 });
  const inFlight = request(`${gateway}/items`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    },
  });
  const answered = once(inFlight, 'response') as Promise<[IncomingMessage]>;
  inFlight.write(body.slice(0, 10));
  await sleep(300);

  system.signal('SIGINT', 'group');
  await sleep(300);
  await assert.rejects(call(`${gateway}/health/live`), 'a new connection is taken');
  inFlight.end(body.slice(10));
  const [{ statusCode }] = await answered;
  assert.equal(statusCode, 201);
  await assertExit(system, 0);
});
