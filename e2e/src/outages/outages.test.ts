import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { assertMissingScope, assertProblem, assertRefusedToken, call } from '../http.ts';
import type { Item, Order, Page, User } from '../shapes.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway, guardedRoutes, services } from '../target.ts';

const compose = JSON.parse(process.env.COMPOSE ?? '[]') as string[];

function docker(...command: string[]): void {
  const { status, stderr } = spawnSync('docker', [...compose, ...command], {
    encoding: 'utf8',
    timeout: 90_000,
  });
  assert.equal(status, 0, stderr);
}

/** Does `work` while the container of a service is stopped. */
async function without(service: string, work: () => Promise<void>): Promise<void> {
  docker('stop', service);
  try {
    await work();
  } finally {
    docker('up', '--detach', '--no-deps', '--wait', service);
  }
}

async function assertAnswers(url: string, token: string): Promise<void> {
  const { status, text } = await call(url, { token });
  assert.equal(status, 200, `${url}: ${text}`);
}

const scope = 'profile:read items:read orders:read orders:write';

test('R15 with auth stopped every process goes on telling good tokens from bad ones', async () => {
  const token = await tokenOf('alice', scope);
  const other = await tokenOf('bob', 'profile:read');
  const forged = [...token.split('.').slice(0, 2), other.split('.')[2]].join('.');
  await without('auth', async () => {
    for (const url of Object.values(guardedRoutes)) {
      await assertAnswers(url, token);
      assertRefusedToken(await call(url, { token: forged }));
      assertProblem(await call(url), 401);
    }
    const { body } = await call<User>(`${gateway}/users/me`, { token });
    assert.equal(body.id, demoAccounts.alice.id);
    const asked = await call(`${gateway}/token`, { form: { grant_type: 'password' } });
    assertProblem(asked, 503);
    assert.ok(asked.headers.has('retry-after'));
    const ordering = await call(`${gateway}/orders`, { token, json: { lines: [await someLine(token)] } });
    assertProblem(ordering, 503);
  });
  assert.ok(await tokenOf('alice', scope));
});

test('R01 with items stopped users and the history of orders answer, and ordering is 503 and leaves nothing behind', async () => {
  const token = await tokenOf('alice', scope);
  const history = () => call<Page<Order>>(`${gateway}/orders?limit=100`, { token });
  const line = await someLine(token);
  const before = (await history()).body;
  await without('items', async () => {
    await assertAnswers(`${gateway}/users/me`, token);
    assert.deepEqual((await history()).body, before);
    await assertAnswers(`${gateway}/orders/${before.items[0]?.id}`, token);
    for (const [url, json] of [
      [`${gateway}/items`, undefined],
      [`${gateway}/orders`, { lines: [line] }],
    ] as const) {
      const answer = await call(url, { token, ...(json && { json }) });
      assertProblem(answer, 503);
      assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
    }
  });
  assert.deepEqual((await history()).body, before);
  assert.equal((await call(`${gateway}/orders`, { token, json: { lines: [line] } })).status, 201);
});

test('H40 Z05 with the gateway stopped each service still says 401 and 403', async () => {
  const token = await tokenOf('alice', 'profile:write');
  assert.ok(services, 'the addresses of the services are not known');
  const { users, items, orders } = services;
  await without('gateway', async () => {
    for (const [url, needed] of [
      [`${users}/users/me`, 'profile:read'],
      [`${items}/items`, 'items:read'],
      [`${orders}/orders`, 'orders:read'],
    ] as const) {
      assertProblem(await call(url), 401);
      assertMissingScope(await call(url, { token }), needed);
    }
  });
});

async function someLine(token: string) {
  const { body } = await call<Page<Item>>(`${gateway}/items?q=Key+ring`, { token });
  return { itemId: body.items[0]?.id, quantity: 1 };
}
