import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { clientCredentialsGrant } from 'openid-client';
import { client, withoutOrdersClient } from '../clients.ts';
import { assertProblem, assertRefusedToken, call } from '../http.ts';
import type { Item, Page } from '../shapes.ts';
import { gateway, services } from '../target.ts';

test('demo-reporting reads items with a token of its own, and gets no refresh token (A36)', async () => {
  const tokens = await clientCredentialsGrant(await client('demo-reporting'), { scope: 'items:read' });
  assert.equal(tokens.refresh_token, undefined);
  assert.equal(tokens.id_token, undefined);
  const items = await call<Page<Item>>(`${gateway}/items`, { token: tokens.access_token });
  assert.equal(items.status, 200);
  assert.ok(items.body.items.length > 0);
});

test("Z06 a client's own token opens no route of a user", async () => {
  const { access_token } = await clientCredentialsGrant(await client('demo-reporting'), {
    scope: 'items:read',
  });
  for (const path of ['/users/me', '/users/me/items', '/orders']) {
    assertProblem(await call(`${gateway}${path}`, { token: access_token }), 403);
  }
  const item = { name: 'By nobody', priceCents: 1, stock: 1 };
  assertProblem(await call(`${gateway}/items`, { token: access_token, json: item }), 403);
});

test('A36 scopes that are not its own are refused, and so are clients without the grant', async () => {
  for (const scope of ['orders:read', 'items:read profile:read', 'items:write']) {
    const asking = clientCredentialsGrant(await client('demo-reporting'), { scope });
    await assert.rejects(asking, { error: 'invalid_scope' }, scope);
  }
  for (const id of ['demo-cli', 'demo-web', 'demo-first-party'] as const) {
    const asking = clientCredentialsGrant(await client(id), { scope: 'items:read' });
    await assert.rejects(asking, { error: 'unauthorized_client' }, id);
  }
});

test('A36 J32 the orders service may give back at items in its own name, and nobody else may, nor anything else', {
  skip: withoutOrdersClient,
}, async () => {
  const mine = { resource: 'urn:gatehouse:items', scope: 'items:reserve' };
  const { access_token: token } = await clientCredentialsGrant(await client('orders-service'), mine);
  assertRefusedToken(await call(`${gateway}/items`, { token }));
  if (services) {
    const reservations = `${services.items}/items/${randomUUID()}/reservations`;
    assertProblem(await call(`${reservations}/${randomUUID()}`, { token, method: 'DELETE' }), 404);
    assertProblem(await call(reservations, { token, json: { id: randomUUID(), quantity: 1 } }), 403);
    assertProblem(await call(`${services.items}/items`, { token }), 403);
    assertRefusedToken(await call(`${services.orders}/orders`, { token }));
  }
  const wider = clientCredentialsGrant(await client('orders-service'), { ...mine, scope: 'items:read' });
  await assert.rejects(wider, { error: 'invalid_scope' });
  const other = clientCredentialsGrant(await client('demo-reporting'), mine);
  await assert.rejects(other, { error: 'invalid_target' });
});

test('A18 a wrong secret and an unknown client get the same answer: 401 with a Basic challenge', async () => {
  const ask = async (credentials: string) => {
    const form = { grant_type: 'client_credentials', scope: 'items:read' };
    const headers = { authorization: `Basic ${btoa(credentials)}` };
    return call<{ error: string }>(`${gateway}/token`, { form, headers });
  };
  const wrongSecret = await ask('demo-reporting:wrong-secret');
  const unknownClient = await ask('nobody-here:wrong-secret');
  assert.equal(wrongSecret.status, 401);
  assert.equal(wrongSecret.body.error, 'invalid_client');
  assert.match(wrongSecret.headers.get('www-authenticate') ?? '', /^Basic /);
  assert.equal(unknownClient.status, 401);
  assert.equal(unknownClient.text, wrongSecret.text);
});
