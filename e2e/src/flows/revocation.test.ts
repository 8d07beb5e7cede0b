import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  fetchUserInfo,
  refreshTokenGrant,
  skipSubjectCheck,
  tokenIntrospection,
  tokenRevocation,
} from 'openid-client';
import { client } from '../clients.ts';
import { assertRefusedToken, call } from '../http.ts';
import { assertDies, assertLive } from '../revoked.ts';
import { signIn, tokenOf } from '../sign-in.ts';
import { gateway } from '../target.ts';

const scope = 'openid offline_access profile:read items:read';

test('J37 a revoked token is refused at the gateway and at each service, and a new sign-in works', async (t) => {
  const { config, tokens } = await signIn('alice', scope);
  const token = tokens.access_token;
  await assertLive(token);
  await tokenRevocation(config, token);
  t.diagnostic(await assertDies(token));
  await assert.rejects(fetchUserInfo(config, token, skipSubjectCheck));

  const { tokens: fresh } = await signIn('alice', scope);
  await assertLive(fresh.access_token);
});

test('a token of the tutorials is revoked by its public client', async (t) => {
  const token = await tokenOf('johndoe', 'profile:read');
  const untouched = await tokenOf('johndoe', 'profile:read');
  await tokenRevocation(await client('demo-first-party'), token);
  t.diagnostic(await assertDies(token));
  await assertLive(untouched);
});

test('J25 no other spelling of a revoked token is accepted', async () => {
  const token = await tokenOf('alice', 'profile:read');
  await tokenRevocation(await client('demo-first-party'), token);
  await assertDies(token);
  const last = token.at(-1) ?? '';
  const neighbour = String.fromCharCode(
    last.charCodeAt(0) + (last === 'z' || last === 'Z' || last === '9' ? -1 : 1),
  );
  for (const spelling of [
    `${token}=`,
    `${token}==`,
    token.slice(0, -1) + neighbour,
    token.replace('.', '.='),
  ]) {
    assertRefusedToken(await call(`${gateway}/users/me`, { token: spelling }));
  }
});

test('A27 revoking a refresh token ends it, and the access tokens that came with it', async (t) => {
  const { config, tokens } = await signIn('bob', scope);
  const { access_token, refresh_token = '' } = tokens;
  await tokenRevocation(config, refresh_token);
  t.diagnostic(await assertDies(access_token));
  await assert.rejects(refreshTokenGrant(config, refresh_token), { error: 'invalid_grant' });
});

test('A27 no client revokes the token of another, junk is 200, no credentials are 401, GET is 405', async () => {
  const { tokens } = await signIn('alice', scope);
  for (const token of [tokens.access_token, tokens.refresh_token ?? '']) {
    await assert.rejects(tokenRevocation(await client('demo-cli'), token), { error: 'unauthorized_client' });
  }
  await assertLive(tokens.access_token);

  await assert.doesNotReject(tokenRevocation(await client('demo-cli'), 'junk'));
  const { status } = await call(`${gateway}/revoke`, { form: { token: tokens.access_token } });
  assert.ok(status === 400 || status === 401, String(status));
  assert.equal((await call(`${gateway}/revoke`)).status, 405);
  await assertLive(tokens.access_token);
});

test('A28 introspection tells a client about its own tokens, and nobody about anything else', async () => {
  const { config, tokens } = await signIn('alice', scope);
  const token = tokens.access_token;
  const told = await tokenIntrospection(config, token);
  assert.equal(told.active, true);
  assert.equal(told.client_id, 'demo-web');
  assert.match(told.scope ?? '', /\bitems:read\b/);
  assert.equal((await tokenIntrospection(config, tokens.refresh_token ?? '')).active, true);

  assert.deepEqual(await tokenIntrospection(config, 'junk'), { active: false });
  assert.deepEqual(await tokenIntrospection(await client('demo-reporting'), token), { active: false });
  const asBearer = await call(`${gateway}/introspect`, { token, form: { token } });
  assert.ok(asBearer.status === 400 || asBearer.status === 401, String(asBearer.status));

  await tokenRevocation(config, token);
  assert.deepEqual(await tokenIntrospection(config, token), { active: false });
});
