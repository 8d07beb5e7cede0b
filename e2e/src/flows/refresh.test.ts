import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Configuration, refreshTokenGrant } from 'openid-client';
import { client } from '../clients.ts';
import { call } from '../http.ts';
import { assertDies, assertLive } from '../revoked.ts';
import { signIn } from '../sign-in.ts';
import { gateway } from '../target.ts';

const scope = 'openid offline_access profile:read items:read';

async function signInLastingly() {
  const { config, tokens } = await signIn('alice', scope);
  assert.ok(tokens.refresh_token);
  return { config, accessToken: tokens.access_token, refreshToken: tokens.refresh_token };
}

async function refresh(config: Configuration, refreshToken: string, parameters = {}) {
  const { access_token, refresh_token } = await refreshTokenGrant(config, refreshToken, parameters);
  assert.ok(refresh_token);
  return { accessToken: access_token, refreshToken: refresh_token };
}

test('a refresh gives a new access token that works and a new refresh token', async () => {
  const { config, accessToken, refreshToken } = await signInLastingly();
  const next = await refresh(config, refreshToken);
  assert.notEqual(next.refreshToken, refreshToken);
  assert.notEqual(next.accessToken, accessToken);
  assert.equal((await call(`${gateway}/users/me`, { token: next.accessToken })).status, 200);
  await assert.doesNotReject(refresh(config, next.refreshToken));
});

test('A25 a refresh may ask for less, and never for more', async () => {
  const { config, refreshToken } = await signInLastingly();
  const less = await refresh(config, refreshToken, { scope: 'profile:read' });
  assert.equal((await call(`${gateway}/users/me`, { token: less.accessToken })).status, 200);
  assert.equal((await call(`${gateway}/items`, { token: less.accessToken })).status, 403);
  const more = refresh(config, less.refreshToken, { scope: `${scope} orders:write` });
  await assert.rejects(more, { error: 'invalid_scope' });
});

test('A22 a used refresh token kills the family: the newest one, and every live access token everywhere', async (t) => {
  const { config, accessToken, refreshToken } = await signInLastingly();
  const lost = await refresh(config, refreshToken);
  // Whoever repeats the first one now did not just lose the answer: its successor is in use.
  const next = await refresh(config, lost.refreshToken);
  await assertLive(accessToken);
  await assertLive(next.accessToken);

  await assert.rejects(refresh(config, refreshToken), { error: 'invalid_grant' });
  t.diagnostic(await assertDies(next.accessToken));
  await assertDies(accessToken);
  await assert.rejects(refresh(config, next.refreshToken), { error: 'invalid_grant' });

  const { accessToken: fresh } = await signInLastingly();
  await assertLive(fresh);
});

test('A23 of 20 parallel uses of one refresh token, all get the same successor, which works', async () => {
  const { config, refreshToken } = await signInLastingly();
  const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(config, refreshToken)));
  const [successor, ...others] = new Set(answers.map((answer) => answer.refreshToken));
  assert.deepEqual(others, [], 'the family forked');
  assert.ok(successor);
  await assertLive((await refresh(config, successor)).accessToken);
  await assert.rejects(refresh(config, refreshToken), { error: 'invalid_grant' });
});

test('A24 a refresh token is nothing to another client, and stays good for its own', async () => {
  const { config, refreshToken } = await signInLastingly();
  await assert.rejects(refresh(await client('demo-cli'), refreshToken), { error: 'invalid_grant' });
  await assert.doesNotReject(refresh(config, refreshToken));
});
