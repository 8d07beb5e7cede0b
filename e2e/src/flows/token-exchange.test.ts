import assert from 'node:assert/strict';
import { test } from 'node:test';
import { genericGrantRequest, tokenRevocation } from 'openid-client';
import { type ClientId, client, withoutOrdersClient } from '../clients.ts';
import { assertRefusedToken, call } from '../http.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway, services, withoutServices } from '../target.ts';

const accessToken = 'urn:ietf:params:oauth:token-type:access_token';
const itemsAudience = 'urn:gatehouse:items';

async function exchange(
  subject: string,
  parameters: Record<string, string> = {},
  as: ClientId = 'orders-service',
) {
  const { access_token } = await genericGrantRequest(
    await client(as),
    'urn:ietf:params:oauth:grant-type:token-exchange',
    {
      subject_token: subject,
      subject_token_type: accessToken,
      audience: itemsAudience,
      scope: 'items:read',
      ...parameters,
    },
  );
  return access_token;
}

test('J32 J33 an exchanged token opens its own service, and is refused at the gateway and at every other', {
  skip: withoutOrdersClient,
}, async () => {
  const token = await exchange(await tokenOf('alice', 'orders:write'));
  for (const path of ['/items', '/users/me', '/users/me/items', '/orders']) {
    assertRefusedToken(await call(`${gateway}${path}`, { token }));
  }
  if (services) {
    assert.equal((await call(`${services.items}/items`, { token })).status, 200);
    assertRefusedToken(await call(`${services.users}/users/me`, { token }));
    assertRefusedToken(await call(`${services.orders}/orders`, { token }));
  }
});

test('an exchanged token dies with the token that it came from', {
  skip: withoutOrdersClient || withoutServices,
}, async () => {
  const subject = await tokenOf('alice', 'orders:write');
  const token = await exchange(subject);
  assert.equal((await call(`${services?.items}/items`, { token })).status, 200);
  await tokenRevocation(await client('demo-first-party'), subject);
  const deadline = Date.now() + 1_000;
  while ((await call(`${services?.items}/items`, { token })).status !== 401) {
    assert.ok(Date.now() < deadline, 'the exchanged token outlives its grant');
  }
  await assert.rejects(exchange(subject), { error: 'invalid_grant' });
});

test('A33 nothing is exchanged that the policy does not name', { skip: withoutOrdersClient }, async () => {
  const subject = await tokenOf('alice', 'orders:write items:read items:write');
  await assert.rejects(exchange(subject, { scope: 'items:write' }), { error: 'invalid_scope' });
  await assert.rejects(exchange(subject, { audience: 'urn:gatehouse:users' }), { error: 'invalid_target' });
  await assert.rejects(exchange(await tokenOf('alice', 'orders:read')), { error: 'invalid_scope' });
  await assert.rejects(exchange('junk'), { error: 'invalid_grant' });
  await assert.rejects(exchange(await exchange(subject)), { error: 'invalid_grant' });
  await assert.rejects(exchange(subject, {}, 'demo-web'), { error: 'unauthorized_client' });
});
