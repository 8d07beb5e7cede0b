import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { checksIn } from '@gatehouse/test-kit';
import { tokenRevocation } from 'openid-client';
import { client } from '../clients.ts';
import { call } from '../http.ts';
import { assertDies } from '../revoked.ts';
import type { Order, Page } from '../shapes.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway } from '../target.ts';

const silent = { skip: process.env.EXPLAIN === 'false' && 'the system runs with EXPLAIN=false' };

const scope = 'profile:read orders:read';
const atGateway = ['gateway.hygiene: ok', 'gateway.authn: remembered', 'gateway.denylist: live'];
const atOrders = ['orders.authn: remembered', 'orders.denylist: live'];

const told: { token: string | undefined; header: string }[] = [];

/** The status of the answer, then what it tells of the checks. */
async function walk(path: string, token?: string): Promise<unknown[]> {
  const { status, headers } = await call(`${gateway}${path}`, { token });
  const header = headers.get('server-timing') ?? '';
  told.push({ token, header });
  return [status, ...checksIn(header)];
}

const behind = (status: number) => ['orders.total', `gateway.upstream: ${status}`, 'gateway.total'];

test('an answer tells of every check at the gateway and at the service', silent, async () => {
  const token = await tokenOf('alice', scope);
  const granted = ['orders.scope: orders:read ok', 'orders.user: ok', 'orders.input: ok'];
  const handled = ['orders.handler: 200', 'orders.owner: ok'];
  const both = [...atGateway, ...atOrders, ...granted, ...handled, ...behind(200)];
  const fresh = both.map((check) => check.replace('remembered', 'verified'));
  assert.deepEqual(await walk('/orders', token), [200, ...fresh]);
  assert.deepEqual(await walk('/orders', token), [200, ...both]);
});

test('a refusal tells which check refused, and where', silent, async () => {
  assert.deepEqual(await walk('/orders;x'), [400, 'gateway.hygiene: refused', 'gateway.total']);
  const anonymous = ['gateway.hygiene: ok', 'gateway.authn: no_credentials', 'gateway.total'];
  assert.deepEqual(await walk('/orders'), [401, ...anonymous]);

  const token = await tokenOf('alice', 'profile:read');
  await walk('/orders', token);
  const missing = [...atGateway, ...atOrders, 'orders.scope: orders:read missing', ...behind(403)];
  assert.deepEqual(await walk('/orders', token), [403, ...missing]);

  await tokenRevocation(await client('demo-first-party'), token);
  await assertDies(token);
  const revoked = atGateway.with(2, 'gateway.denylist: revoked');
  assert.deepEqual(await walk('/orders', token), [401, ...revoked, 'gateway.total']);
});

test("Z01 someone else's order is told of as a free id is", silent, async () => {
  const [alice, bob] = [await tokenOf('alice', scope), await tokenOf('bob', scope)];
  const { body } = await call<Page<Order>>(`${gateway}/orders`, { token: alice });
  const [order = assert.fail('the demo has no order of alice')] = body.items;
  await walk('/orders', bob);
  const foreign = await walk(`/orders/${order.id}`, bob);
  assert.deepEqual(foreign, await walk(`/orders/${randomUUID()}`, bob));
  assert.equal(foreign[0], 404);
  assert.ok(foreign.includes("orders.owner: not found among the caller's"), foreign.join(', '));
});

test('no answer has told a claim of its token, or another of its scopes', silent, () => {
  assert.ok(told.length > 5);
  const emails = Object.values(demoAccounts).map(({ email }) => email);
  for (const { token = '', header } of told) {
    const [, payload = ''] = token.split('.');
    const { scope: _, ...claims } = JSON.parse(Buffer.from(payload, 'base64url').toString() || '{}');
    const hidden = [...Object.values(claims).flat(), 'profile:read', ...token.split('.'), ...emails];
    for (const value of hidden.map(String).filter(Boolean)) assert.ok(!header.includes(value), header);
  }
});
