import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createTestIssuer, rawRequest } from '@gatehouse/test-kit';
import { decodeJwt, importJWK, SignJWT } from 'jose';
import { loadSigningKeys } from '../src/keys/keys.ts';
import { createVault } from '../src/protocol/vault.ts';
import {
  basic,
  demoWeb,
  encryptionKey,
  explorer,
  firstParty,
  issuer,
  orders,
  reporting,
  startTestAuth,
  type TestAuth,
  users,
} from './start-test-auth.ts';

suite('revocation and introspection', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  const form = 'application/x-www-form-urlencoded';

  const isDenied = (token: string) => auth.isDenied(token);

  test('A27 revoking an access token kills it and its grant, and the next sign-in has a grant of its own', async () => {
    const browser = auth.browser();
    const { accessToken, refreshToken } = await auth.signedIn('alice', browser);
    assert.equal(isDenied(accessToken), false);
    const { status, headers } = await auth.post('/revoke', { token: accessToken }, demoWeb);
    assert.equal(status, 200);
    assert.equal(headers.get('cache-control'), 'no-store');
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

  test('A27 A28 a client’s own token dies alone, and is not active when asked about', async () => {
    const get = async () =>
      (await auth.token({ grant_type: 'client_credentials', scope: 'items:read' }, reporting)).body
        .access_token;
    const [one, other] = [await get(), await get()];
    assert.equal((await auth.post('/revoke', { token: one }, reporting)).status, 200);
    assert.equal(isDenied(one), true);
    assert.equal(await auth.isActive(one, reporting), false);
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
    assert.equal((await auth.post('/revoke', { token: accessToken })).status, 401);
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
    assert.equal(
      (await auth.send('/revoke', { method: 'POST', headers: { 'content-type': form } })).status,
      401,
    );
    for (const body of ['x'.repeat(80_000), `token=${'x'.repeat(60_000)}`]) {
      const refused = await auth.send('/revoke', { method: 'POST', body, headers: { 'content-type': form } });
      assert.equal(refused.status, 400);
    }
    assert.equal(isDenied(accessToken), false);
  });

  test('a token in a long form is found wherever it stands', async () => {
    const { accessToken } = await auth.signedIn();
    const padding = { padding: 'ü&=%'.repeat(2000) };
    const { body } = await auth.post('/introspect', { ...padding, token: accessToken }, demoWeb);
    assert.equal(body.active, true);
    assert.equal(body.jti, decodeJwt(accessToken).jti);
  });

  test('a form sent in chunks is read as well', async () => {
    const { accessToken } = await auth.signedIn();
    const body = new Blob([`token=${accessToken}`]).stream();
    const headers = { 'content-type': form, authorization: basic(demoWeb) };
    const init: RequestInit = { method: 'POST', body, headers, duplex: 'half' };
    assert.equal((await auth.send('/introspect', init)).body.active, true);
  });

  test('a client that hangs up in the middle of its form is refused, and nothing is said to have failed', async () => {
    for (const path of ['/introspect', '/revoke']) {
      const requestId = `hung-up-at-${path.slice(1)}`;
      const head = `POST ${path} HTTP/1.1\r\nHost: auth\r\nX-Request-Id: ${requestId}\r\nContent-Type: ${form}\r\n`;
      const port = Number(new URL(auth.url).port);
      await rawRequest(port, `${head}Content-Length: 100\r\n\r\ntoken=`, { timeoutMs: 100 });
      const lines = () => auth.log.filter((line) => line.includes(requestId));
      for (let tries = 0; lines().length < 2 && tries < 100; tries += 1) await delay(20);
      assert.ok(lines().some((line) => line.includes('"refused"') && line.includes('invalid_request')));
    }
    assert.doesNotMatch(auth.log.join(), /request failed|could not be served/);
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

  test('A28 a service learns nothing of a token that is meant for another service', async () => {
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: (await auth.signedIn()).accessToken,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'urn:gatehouse:items',
      scope: 'items:read',
    };
    const token = (await auth.token(form, orders)).body.access_token;
    assert.equal(await auth.isActive(token, orders), true);
    for (const client of [users, demoWeb, reporting]) {
      assert.deepEqual((await auth.post('/introspect', { token }, client)).body, { active: false });
    }
  });

  test('J10 J25 what our key signed is an access token only with its type, and in one spelling', async () => {
    const [privateJwk] = await loadSigningKeys(auth.db, createVault(encryptionKey));
    assert.ok(privateJwk);
    const key = await importJWK(privateJwk, 'ES256');
    const { accessToken } = await auth.signedIn();
    const claims = decodeJwt(accessToken);
    for (const [typ, active] of Object.entries({ 'at+jwt': true, JWT: false, 'logout+jwt': false })) {
      const token = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ }).sign(key);
      assert.equal(await auth.isActive(token, demoWeb), active, typ);
    }
    for (const spelling of [`${accessToken}\n`, `${accessToken}==`, accessToken.replace('.', '. ')]) {
      assert.equal(await auth.isActive(spelling, demoWeb), false);
    }
  });

  test('A28 asks who is calling, and an access token is no answer to that', async () => {
    const { accessToken } = await auth.signedIn();
    assert.equal((await auth.post('/introspect', { token: accessToken })).status, 401);
    assert.equal(
      (await auth.post('/introspect', { token: accessToken }, { ...demoWeb, secret: 'no' })).status,
      401,
    );
    const headers = { authorization: `Bearer ${accessToken}`, 'content-type': form };
    const answer = await auth.send('/introspect', { method: 'POST', body: `token=${accessToken}`, headers });
    assert.equal(answer.status, 401);
    assert.equal(answer.body.active, undefined);
  });

  test('an expired token is inactive', async (t) => {
    const { accessToken } = await auth.signedIn();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 301_000 });
    assert.equal(await auth.isActive(accessToken, demoWeb), false);
    assert.equal((await auth.userinfo(accessToken)).status, 401);
  });
});

function pick({ client_id, scope, sub, aud, jti, exp, iss, roles, gid }: Record<string, unknown>) {
  return { client_id, scope, sub, aud, jti, exp, iss, roles, gid };
}
