import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refreshTokenGrant, tokenRevocation } from 'openid-client';
import { assertRefusedToken, call } from '../http.ts';
import type { Item } from '../shapes.ts';
import { authorizationRequest, redeem, signIn, tokenOf, walkPages } from '../sign-in.ts';
import { startSystem, temporaryDirectory } from '../system.ts';
import { gateway, guardedRoutes } from '../target.ts';
import { ports } from './own-system.ts';

test('what was acknowledged survives a stop and a kill: data, sign-ins, live tokens and revocations', async (t) => {
  using directory = temporaryDirectory();
  let system = await startSystem(directory.path, ports);
  const scope = 'openid offline_access profile:read items:read';
  const { browser, config, tokens } = await signIn('alice', scope);
  const { tokens: revoked } = await signIn('alice', scope);
  await tokenRevocation(config, revoked.access_token);
  const token = await tokenOf('bob', 'items:read items:write');
  const json = { name: 'Kept', priceCents: 1, stock: 1 };
  const { body: item } = await call<Item>(`${gateway}/items`, { token, json });
  let refreshToken = tokens.refresh_token ?? '';

  for (const end of ['SIGTERM', 'SIGKILL']) {
    if (end === 'SIGTERM') await system.stop();
    else system.signal('SIGKILL', 'group');
    await system.exit;
    system = await startSystem(directory.path, ports);
    t.diagnostic(`after ${end}, ${/ready in \d+ ms/.exec(system.output())}`);

    for (const url of Object.values(guardedRoutes)) {
      assertRefusedToken(await call(url, { token: revoked.access_token }));
    }
    assert.deepEqual((await call<Item>(`${gateway}/items/${item.id}`, { token })).body, item);
    assert.equal((await call(`${gateway}/users/me`, { token: tokens.access_token })).status, 200);
    refreshToken = (await refreshTokenGrant(config, refreshToken)).refresh_token ?? '';
    const request = await authorizationRequest('openid profile:read');
    const { callback, steps } = await walkPages(browser, request.url, 'alice');
    assert.deepEqual(steps, []);
    await redeem(request, callback);
  }
  await system.stop();
});
