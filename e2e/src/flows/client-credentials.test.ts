import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientCredentialsGrant } from 'openid-client';
import { client } from '../clients.ts';
import { assertProblem, call } from '../http.ts';
import type { Item, Page } from '../shapes.ts';
import { gateway } from '../target.ts';

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
