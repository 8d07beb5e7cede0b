import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { assertProblem, assertRefusedToken, call } from '../http.ts';
import { tokenOf } from '../sign-in.ts';
import { guardedRoutes, withoutServices } from '../target.ts';

const claimed = {
  'x-user-id': demoAccounts.alice.id,
  'x-scope': 'profile:read items:read orders:read',
  'x-client-id': 'demo-web',
  'x-forwarded-for': '127.0.0.1',
};

test('H40 no process takes a word for who is calling: without a token it is 401, also with X-User-Id', {
  skip: withoutServices,
}, async () => {
  for (const [name, url] of Object.entries(guardedRoutes)) {
    for (const headers of [{}, claimed]) {
      const answer = await call(url, { headers });
      assertProblem(answer, 401);
      // T08: who sent no token made no error.
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer(?!.*error=)/, name);
    }
  }
});

test('H20 X-User-Id beside a good token changes nothing', async () => {
  const token = await tokenOf('bob', 'profile:read');
  for (const [name, url] of Object.entries(guardedRoutes)) {
    if (!url.endsWith('/users/me')) continue;
    const { body } = await call<{ id: string }>(url, { token, headers: claimed });
    assert.equal(body.id, demoAccounts.bob.id, name);
  }
});

test('the gateway and each service refuse a token with another signature', async () => {
  const token = await tokenOf('alice', 'profile:read items:read orders:read');
  const other = await tokenOf('bob', 'profile:read');
  const forged = [...token.split('.').slice(0, 2), other.split('.')[2]].join('.');
  for (const url of Object.values(guardedRoutes)) assertRefusedToken(await call(url, { token: forged }));
});
