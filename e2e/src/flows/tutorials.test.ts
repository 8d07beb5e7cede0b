import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { createBrowser } from '@gatehouse/test-kit';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import { fetchUserInfo, tokenIntrospection, tokenRevocation } from 'openid-client';
import { administer, register } from '../accounts.ts';
import { type Answer, assertMissingScope, assertProblem, assertRefusedToken, call } from '../http.ts';
import { assertDies, assertLive } from '../revoked.ts';
import type { Item, Page, TokenAnswer, User } from '../shapes.ts';
import { authorizationRequest, callbackUrl, redeem, signIn, tokenOf, walkPages } from '../sign-in.ts';
import { gateway } from '../target.ts';

// Each example of the OAuth2 tutorials for FastAPI that this project grew from, as it works here.

// As `curl -d` sends it: nothing is encoded.
function curl(form: string): Promise<Answer<TokenAnswer>> {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return call<TokenAnswer>(`${gateway}/token`, { body: form, headers });
}

const johndoe = 'grant_type=password&client_id=demo-first-party&username=johndoe';
const signInAs = async (scope: string) => (await curl(`${johndoe}&password=secret&scope=${scope}`)).body;

test('password login with scopes: the form gives a bearer token with the scopes that were asked for', async () => {
  const { status, headers, body } = await curl(`${johndoe}&password=secret&scope=profile:read items:read`);
  assert.equal(status, 200);
  assert.match(headers.get('cache-control') ?? '', /no-store/);
  assert.equal(body.token_type, 'Bearer');
  assert.equal(body.expires_in, 300);
  assert.equal(body.scope, 'profile:read items:read');
  assert.equal(body.refresh_token, undefined);
});

test('the current user: /users/me is whoever the token speaks for', async () => {
  const { access_token: token } = await signInAs('profile:read');
  const { status, body } = await call<User>(`${gateway}/users/me`, { token });
  assert.equal(status, 200);
  const { createdAt, ...profile } = body;
  const { id, username, displayName, email, roles } = demoAccounts.johndoe;
  assert.deepEqual(profile, { id, username, displayName, email, roles });
  assert.ok(Date.parse(createdAt) <= Date.now());
});

test("T11 the user's items need their scope: with items:read they are listed, without it 403 names it", async () => {
  const { access_token: token } = await signInAs('profile:read items:read');
  const { status, body } = await call<Page<Item>>(`${gateway}/users/me/items`, { token });
  assert.equal(status, 200);
  assert.ok(body.items.length > 0);
  for (const item of body.items) assert.equal(item.ownerId, demoAccounts.johndoe.id);

  const { access_token: lesser } = await signInAs('profile:read');
  assert.equal((await call(`${gateway}/users/me`, { token: lesser })).status, 200);
  assertMissingScope(await call(`${gateway}/users/me/items`, { token: lesser }), 'items:read');
  assertMissingScope(await call(`${gateway}/items`, { token: lesser }), 'items:read');
});

test('an inactive user is refused: at the sign-in, and with a token from before', async () => {
  const { user, signIn: signInWith } = await register();
  const { access_token: token } = await signInWith('profile:read');
  await assertLive(token);
  assert.equal((await administer('POST', `/users/${user.id}/disable`)).status, 204);
  await assertDies(token);
  await assert.rejects(signInWith('profile:read'), { error: 'invalid_grant' });
});

test('a wrong password is refused: 400 in the form (RFC 6749, 5.2), 401 with WWW-Authenticate in HTTP Basic', async () => {
  const form = await curl(`${johndoe}&password=wrong&scope=profile:read`);
  assert.equal(form.status, 400);
  assert.equal(form.body.error, 'invalid_grant');
  assert.equal(form.body.access_token, undefined);

  const authorization = `Basic ${btoa('demo-reporting:wrong')}`;
  const basic = await call<TokenAnswer>(`${gateway}/token`, {
    form: { grant_type: 'client_credentials', scope: 'items:read' },
    headers: { authorization },
  });
  assert.equal(basic.status, 401);
  assert.match(basic.headers.get('www-authenticate') ?? '', /^Basic realm=/);
  assert.equal(basic.body.error, 'invalid_client');
});

test('a protected route has a verified subject, and is 401 with WWW-Authenticate for anybody else', async () => {
  const { access_token: token } = await signInAs('profile:read');
  const { body } = await call<User>(`${gateway}/users/me`, { token });
  assert.equal(body.id, decodeJwt(token).sub);

  const without = await call(`${gateway}/users/me`);
  assertProblem(without, 401);
  assert.match(without.headers.get('www-authenticate') ?? '', /^Bearer\b/);
  const [header, , signature] = token.split('.');
  const claims = { ...decodeJwt(token), sub: demoAccounts.alice.id };
  const forged = [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
  assertRefusedToken(await call(`${gateway}/users/me`, { token: forged }));
});

test('the code flow calls back: the callback gets a code, and the code a token and who signed in', async (t) => {
  const client = createServer();
  t.after(() => client.close());
  client.listen(Number(new URL(callbackUrl).port), 'localhost');
  await once(client, 'listening');

  const request = await authorizationRequest('openid profile profile:read');
  const { callback } = await walkPages(createBrowser(), request.url, 'alice');
  const arriving = once(client, 'request') as Promise<[IncomingMessage, ServerResponse]>;
  const browser = fetch(callback);
  const [req, res] = await arriving;
  const tokens = await redeem(request, new URL(req.url ?? '', callbackUrl));
  const { sub } = await fetchUserInfo(request.config, tokens.access_token, demoAccounts.alice.id);
  res.setHeader('connection', 'close').end(sub);
  assert.equal(await (await browser).text(), demoAccounts.alice.id);
  assert.equal((await call(`${gateway}/users/me`, { token: tokens.access_token })).status, 200);
});

test('roles are in the token, and a route that asks for one refuses whoever lacks it', async () => {
  for (const [username, expected] of [
    ['alice', 403],
    ['admin', 200],
  ] as const) {
    const token = await tokenOf(username, 'users:admin');
    assert.deepEqual(decodeJwt(token).roles, demoAccounts[username].roles);
    assert.equal((await call(`${gateway}/users?limit=1`, { token })).status, expected);
  }
});

test('a token is validated by the public key alone, for one issuer, one audience and one type', async () => {
  const { access_token: token } = await signInAs('items:read');
  const keys = createRemoteJWKSet(new URL(`${gateway}/.well-known/jwks.json`));
  const expected = { issuer: gateway, audience: 'urn:gatehouse:api', typ: 'at+jwt', algorithms: ['ES256'] };
  const { payload } = await jwtVerify(token, keys, expected);
  assert.equal(payload.sub, demoAccounts.johndoe.id);
  assert.equal(payload.scope, 'items:read');
  for (const [name, other] of Object.entries({
    issuer: 'https://elsewhere.example',
    audience: 'urn:other',
    typ: 'JWT',
  })) {
    await assert.rejects(jwtVerify(token, keys, { ...expected, [name]: other }), { code: /^ERR_JWT/ }, name);
  }
});

test('a token is validated by introspection: active with its claims, and not after its revocation', async () => {
  const { config, tokens } = await signIn('alice', 'openid items:read');
  const told = await tokenIntrospection(config, tokens.access_token);
  assert.equal(told.active, true);
  assert.equal(told.sub, demoAccounts.alice.id);
  assert.match(told.scope ?? '', /\bitems:read\b/);
  await tokenRevocation(config, tokens.access_token);
  assert.deepEqual(await tokenIntrospection(config, tokens.access_token), { active: false });
});
