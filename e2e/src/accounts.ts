import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { genericGrantRequest, refreshTokenGrant } from 'openid-client';
import { client } from './clients.ts';
import { call } from './http.ts';
import type { User } from './shapes.ts';
import { tokenOf } from './sign-in.ts';
import { gateway } from './target.ts';

/** A new account, as somebody who registers gets it. */
export async function register(username = `user-${randomUUID().slice(0, 8)}`) {
  const json = { username, password: 'seven grey herons' };
  assert.equal((await call(`${gateway}/register`, { json })).status, 202);
  const config = await client('demo-first-party');
  const signIn = (scope: string) => genericGrantRequest(config, 'password', { ...json, scope });
  const { access_token: token } = await signIn('profile:read');
  const { status, body: user } = await call<User>(`${gateway}/users/me`, { token });
  assert.equal(status, 200);
  return { ...json, user, signIn, refresh: (token = '') => refreshTokenGrant(config, token) };
}

/** Does something as the administrator. */
export async function administer<Body>(method: string, path: string, json?: unknown) {
  const token = await tokenOf('admin', 'users:admin');
  return call<Body>(gateway + path, { method, token, ...(json !== undefined && { json }) });
}
