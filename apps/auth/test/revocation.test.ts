import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { createTestIssuer } from '@gatehouse/test-kit';
import { decodeJwt } from 'jose';
import {
  authorizeUrl,
  demoWeb,
  explorer,
  firstParty,
  issuer,
  orders,
  redemption,
  reporting,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

suite('revocation, introspection and userinfo', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  const form = 'application/x-www-form-urlencoded';

  function isDenied(token: string): boolean {
    const { jti = '', sub = '', iat = 0, gid } = decodeJwt(token);
    return auth.denylist.isRevoked({ jti, sub, iat, gid: gid as string | undefined });
  }

  test('A27 revoking an access token kills it and its grant, and the next sign-in has a grant of its own', async () => {
    const browser = auth.browser();
    const { accessToken, refreshToken } = await auth.signedIn('alice', browser);
    assert.equal(isDenied(accessToken), false);
    const { status } = await auth.post('/revoke', { token: accessToken }, demoWeb);
    assert.equal(status, 200);
    assert.equal(isDenied(accessToken), true);
    assert.equal(await auth.isActive(accessToken, demoWeb), false);
    assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
    const again = await auth.signedIn('alice', browser);
    assert.equal(isDenied(again.accessToken), false);
    assert.notEqual(decodeJwt(again.accessToken).gid, decodeJwt(accessToken).gid);
  });

  test('A27 revoking a refresh token kills the access tokens that came with it', async () => {
    const { accessToken, refreshToken } = await auth.signedIn();
    assert.equal((await auth.post('/revoke', { token: refreshToken }, demoWeb)).status, 200);
    assert.equal(isDenied(accessToken), true);
    assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
  });

  test('A27 a client’s own token dies alone', async () => {
    const get = async () =>
      (await auth.token({ grant_type: 'client_credentials', scope: 'items:read' }, reporting)).body
        .access_token;
    const [one, other] = [await get(), await get()];
    assert.equal((await auth.post('/revoke', { token: one }, reporting)).status, 200);
    assert.equal(isDenied(one), true);
    assert.equal(isDenied(other), false);
    assert.equal(await auth.isActive(other, reporting), true);
  });

  test('A27 another client is refused, and the token lives', async () => {
    const { accessToken, refreshToken } = await auth.signedIn();
    for (const token of [accessToken, refreshToken]) {
      for (const client of [reporting, explorer, orders]) {
        const { status, body } = await auth.post('/revoke', { token }, client);
        assert.equal(status, 400);
        assert.equal(body.error, 'unauthorized_client');
      }
    }
    assert.equal(await auth.isActive(accessToken, demoWeb), true);
    assert.equal((await auth.refresh(refreshToken)).status, 200);
  });

  test('A27 what is no token of ours is revoked already', async (t) => {
    const stranger = await createTestIssuer({ issuer });
    t.after(() => stranger.close());
    const { accessToken, idToken } = await auth.signedIn();
    const changed = `${accessToken.slice(0, -2)}${accessToken.endsWith('AA') ? 'BB' : 'AA'}`;
    for (const token of [
      'junk',
      'a.b.c',
      await stranger.sign(),
      idToken,
      changed,
      `${accessToken}=`,
      ` ${accessToken}`,
    ]) {
      const { status } = await auth.post('/revoke', { token }, demoWeb);
      assert.equal(status, 200, token);
    }
    assert.equal(isDenied(accessToken), false);
    assert.equal((await auth.post('/revoke', { token: accessToken }, demoWeb)).status, 200);
    assert.equal((await auth.post('/revoke', { token: accessToken }, demoWeb)).status, 200);
  });

  test('A27 asks who is calling first, and reads a form in a POST alone', async () => {
    const { accessToken } = await auth.signedIn();
    assert.equal((await auth.post('/revoke', { token: accessToken })).status, 400);
    assert.equal(
      (await auth.post('/revoke', { token: accessToken }, { ...demoWeb, secret: 'wrong' })).status,
      401,
    );
    assert.equal((await auth.post('/revoke', { token: accessToken }, { id: demoWeb.id })).status, 401);
    assert.equal((await auth.send(`/revoke?token=${accessToken}`)).status, 405);
    const twice = `token=${accessToken}&token=${accessToken}&client_id=${explorer.id}`;
    const answer = await auth.send('/revoke', {
      method: 'POST',
      body: twice,
      headers: { 'content-type': form },
    });
    assert.equal(answer.body.error, 'invalid_request');
    for (const body of ['', 'x'.repeat(80_000), `token=${'x'.repeat(60_000)}`]) {
      const refused = await auth.send('/revoke', { method: 'POST', body, headers: { 'content-type': form } });
      assert.equal(refused.status, 400);
    }
    assert.equal(isDenied(accessToken), false);
  });

  test('a token in a long form is found wherever it stands, and the handle that stood for it is forgotten', async () => {
    const { accessToken } = await auth.signedIn();
    const padding = { padding: 'ü&=%'.repeat(2000) };
    const { body } = await auth.post('/introspect', { ...padding, token: accessToken }, demoWeb);
    assert.equal(body.active, true);
    assert.equal(body.jti, decodeJwt(accessToken).jti);
  });

  test('A28 tells a client about its own tokens, and a resource server about those meant for it', async () => {
    const { accessToken, refreshToken } = await auth.signedIn();
    const { body, headers } = await auth.post('/introspect', { token: accessToken }, demoWeb);
    assert.equal(headers.get('cache-control'), 'no-store');
    const { active, client_id, scope, sub, aud, jti, exp, iss, roles, gid } = body;
    assert.equal(active, true);
    assert.deepEqual({ client_id, scope, sub, aud, jti, exp, iss, roles, gid }, pick(decodeJwt(accessToken)));
    assert.equal(await auth.isActive(accessToken, orders), true);
    assert.equal(await auth.isActive(refreshToken, demoWeb), true);

    const nothing = { active: false };
    for (const client of [reporting, explorer, firstParty]) {
      assert.deepEqual((await auth.post('/introspect', { token: accessToken }, client)).body, nothing);
      assert.deepEqual((await auth.post('/introspect', { token: refreshToken }, client)).body, nothing);
    }
    assert.deepEqual((await auth.post('/introspect', { token: refreshToken }, orders)).body, nothing);
    assert.deepEqual((await auth.post('/introspect', { token: 'junk' }, demoWeb)).body, nothing);
  });

  test('A28 asks who is calling, and an access token is no answer to that', async () => {
    const { accessToken } = await auth.signedIn();
    assert.equal((await auth.post('/introspect', { token: accessToken })).status, 400);
    assert.equal(
      (await auth.post('/introspect', { token: accessToken }, { ...demoWeb, secret: 'no' })).status,
      401,
    );
    const headers = { authorization: `Bearer ${accessToken}`, 'content-type': form };
    const answer = await auth.send('/introspect', { method: 'POST', body: `token=${accessToken}`, headers });
    assert.equal(answer.status, 400);
    assert.equal(answer.body.active, undefined);
  });

  test('an expired token is inactive', async (t) => {
    const { accessToken } = await auth.signedIn();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 301_000 });
    assert.equal(await auth.isActive(accessToken, demoWeb), false);
    assert.equal((await auth.userinfo(accessToken)).status, 401);
  });

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
    assert.equal((await auth.send(`/userinfo?access_token=${accessToken}`)).status, 400);
    assert.equal((await auth.send('/userinfo')).status, 401);
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

  test('A26 signing out kills the live tokens of every client of the session', async () => {
    const browser = auth.browser();
    const { accessToken, refreshToken, idToken } = await auth.signedIn('alice', browser);
    const redirect_uri = `${issuer}/explorer/callback`;
    const url = authorizeUrl({
      client_id: explorer.id,
      redirect_uri,
      prompt: undefined,
      scope: 'openid items:read',
    });
    const answer = await browser.open(url, { follow: false });
    const other = await auth.token({ ...redemption(new URL(answer.redirect ?? '')), redirect_uri }, explorer);

    const back = 'http://localhost:9999/';
    const query = new URLSearchParams({ id_token_hint: idToken, post_logout_redirect_uri: back, state: 's' });
    const question = await browser.open(`${issuer}/logout?${query}`);
    assert.equal(isDenied(accessToken), false);
    const done = await browser.submit(question, {}, { button: 'Sign out' });
    assert.equal(done.redirect, `${back}?state=s`);
    assert.equal(isDenied(accessToken), true);
    assert.equal(isDenied(other.body.access_token), true);
    assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
    assert.match(
      (await browser.open(authorizeUrl({ prompt: 'none' }))).redirect ?? '',
      /error=login_required/,
    );
    assert.ok((await signIn(browser)).searchParams.get('code'));
  });

  test('A42 signing out leads to registered addresses alone', async () => {
    const browser = auth.browser();
    const { idToken } = await auth.signedIn('alice', browser);
    for (const address of [
      'http://evil.example/',
      'http://localhost:9999/other',
      'http://localhost:9999//evil',
    ]) {
      const query = new URLSearchParams({ id_token_hint: idToken, post_logout_redirect_uri: address });
      const page = await browser.open(`${issuer}/logout?${query}`);
      assert.equal(page.status, 400, address);
    }
  });
});

function pick({ client_id, scope, sub, aud, jti, exp, iss, roles, gid }: Record<string, unknown>) {
  return { client_id, scope, sub, aud, jti, exp, iss, roles, gid };
}
