import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { demoWeb, orders, reporting, startTestAuth, type TestAuth } from './start-test-auth.ts';

suite('userinfo', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  test('A52 the token of a sign-in works at userinfo too, and gives what its scopes allow', async () => {
    const { accessToken } = await auth.signedIn();
    const { status, body, headers } = await auth.userinfo(accessToken);
    assert.equal(status, 200);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.deepEqual(body, {
      sub: 'a11ce000-0000-4000-8000-000000000001',
      name: 'Alice Example',
      preferred_username: 'alice',
    });
  });

  test('A52 userinfo refuses tokens without openid, revoked, of clients, for others, and in the query', async () => {
    const withoutOpenid = (await auth.password()).body.access_token;
    const refused = await auth.userinfo(withoutOpenid);
    assert.equal(refused.status, 403);
    assert.match(refused.headers.get('www-authenticate') ?? '', /error="insufficient_scope"/);

    const { accessToken, idToken, refreshToken } = await auth.signedIn();
    const nothing = await auth.send('/userinfo');
    const inQuery = await auth.send(`/userinfo?access_token=${accessToken}`);
    const inForm = await auth.post('/userinfo', { access_token: accessToken });
    for (const { status, headers } of [nothing, inQuery, inForm]) {
      assert.equal(status, 401);
      assert.match(headers.get('www-authenticate') ?? '', /^Bearer realm=/);
    }
    assert.deepEqual(inQuery.body, nothing.body);
    const headers = { authorization: `Bearer ${accessToken}` };
    const twice = await auth.send(`/userinfo?access_token=${accessToken}`, { headers });
    assert.deepEqual([twice.status, twice.body.error], [400, 'invalid_request']);
    const clients = await auth.token({ grant_type: 'client_credentials', scope: 'items:read' }, reporting);
    const exchanged = await auth.token(
      {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: accessToken,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        audience: 'urn:gatehouse:items',
        scope: 'items:read',
      },
      orders,
    );
    await auth.post('/revoke', { token: (await auth.signedIn('bob')).accessToken }, demoWeb);
    const bob = await auth.signedIn('bob');
    await auth.post('/revoke', { token: bob.accessToken }, demoWeb);
    const tokens = [
      bob.accessToken,
      idToken,
      refreshToken,
      clients.body.access_token,
      exchanged.body.access_token,
    ];
    for (const token of tokens) {
      const answer = await auth.userinfo(token);
      assert.equal(answer.status, 401, token);
      assert.match(answer.headers.get('www-authenticate') ?? '', /error="invalid_token"/);
    }
  });
});
