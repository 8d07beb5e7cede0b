import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createBrowser } from '@gatehouse/test-kit';
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrlWithPAR,
  Configuration,
  customFetch,
  type DPoPHandle,
  fetchProtectedResource,
  getDPoPHandle,
  randomDPoPKeyPair,
  refreshTokenGrant,
  tokenRevocation,
} from 'openid-client';
import { client } from '../clients.ts';
import { type Answer, assertProblem, assertRefusedToken, call, type ProblemBody } from '../http.ts';
import { remember } from '../secrets.ts';
import type { Item, Order, Page } from '../shapes.ts';
import { authorizationRequest, passwords, submitPassword, walkPages } from '../sign-in.ts';
import { gateway, services, withoutServices } from '../target.ts';

type KeyPair = Awaited<ReturnType<typeof randomDPoPKeyPair>>;

let config: Configuration;
let key: KeyPair;
let DPoP: DPoPHandle;
before(async () => {
  config = await client('demo-secure');
  key = await randomDPoPKeyPair('ES256');
  DPoP = getDPoPHandle(config, key);
});

/** Signs alice in to `demo-secure`: a pushed request, the client's own key, tokens bound to the other one. */
async function signInBound(scope: string) {
  const { callback, checks } = await authorize(scope);
  return authorizationCodeGrant(config, callback, checks, undefined, { DPoP });
}

async function authorize(scope: string) {
  const { url, checks } = await authorizationRequest(scope, {}, 'demo-secure');
  const pushed = await buildAuthorizationUrlWithPAR(config, url.searchParams, { DPoP });
  assert.deepEqual([...pushed.searchParams.keys()].sort(), ['client_id', 'request_uri']);
  const { callback } = await walkPages(createBrowser(), pushed, 'alice');
  return { callback, checks };
}

/** Token and proof as the library sends them for this one request. */
async function credentials(token: string, url: string, { method = 'GET', by = key } = {}) {
  const recorder = new Configuration({ issuer: gateway }, 'demo-secure');
  allowInsecureRequests(recorder);
  let sent = new Headers();
  recorder[customFetch] = async (_url, { headers }) => {
    sent = new Headers(headers);
    return new Response();
  };
  const options = { DPoP: getDPoPHandle(recorder, by) };
  await fetchProtectedResource(recorder, token, new URL(url), method, null, undefined, options);
  const [authorization, dpop] = [sent.get('authorization') ?? '', sent.get('dpop') ?? ''];
  remember(token, dpop);
  return { authorization, dpop };
}

function assertRefusedProof(answer: Answer<ProblemBody>): void {
  assertProblem(answer, 401);
  assert.match(answer.headers.get('www-authenticate') ?? '', /^DPoP .*error="invalid_dpop_proof"/);
}

test('A31 J34 a pushed request, a key instead of a secret, and bound tokens that work with a proof each', async () => {
  const tokens = await signInBound('openid profile:read items:read orders:read orders:write');
  assert.equal(tokens.token_type, 'dpop');
  const token = tokens.access_token;
  const listed = await call<Page<Item>>(`${gateway}/items?q=Key+ring`, {
    headers: await credentials(token, `${gateway}/items?q=Key+ring`),
  });
  assert.equal(listed.status, 200, listed.text);
  const [item] = listed.body.items;
  // The orders service asks items on behalf of the caller, without a proof to show.
  const ordered = await call<Order>(`${gateway}/orders`, {
    headers: await credentials(token, `${gateway}/orders`, { method: 'POST' }),
    json: { lines: [{ itemId: item?.id, quantity: 1 }] },
  });
  assert.equal(ordered.status, 201, ordered.text);
  const me = `${gateway}/users/me`;
  assert.equal((await call(me, { headers: await credentials(token, me) })).status, 200);
});

test('J34 J35 a bound token without its own fresh proof is refused', async () => {
  const { access_token: token } = await signInBound('openid items:read');
  const url = `${gateway}/items`;
  const headers = await credentials(token, url);
  assert.equal((await call(url, { headers })).status, 200);
  assertRefusedProof(await call(url, { headers }));
  const { authorization } = headers;
  assertRefusedProof(await call(url, { headers: { authorization } }));
  const by = await randomDPoPKeyPair('ES256');
  assertRefusedProof(await call(url, { headers: await credentials(token, url, { by }) }));
  assertRefusedProof(await call(url, { headers: await credentials(token, `${gateway}/orders`) }));
  assertRefusedProof(await call(url, { headers: await credentials(token, url, { method: 'POST' }) }));
  assertRefusedToken(await call(url, { token }));
});

test('J34 each service verifies the proof itself, for the public URL alone', {
  skip: withoutServices,
}, async () => {
  const { access_token: token } = await signInBound('openid items:read');
  for (const [name, path] of Object.entries({ users: '/users/me', items: '/items', orders: '/orders' })) {
    const own = `${services?.[name as keyof typeof services]}${path}`;
    const headers = await credentials(token, gateway + path);
    assert.notEqual((await call(own, { headers })).status, 401, name);
    assertRefusedProof(await call(own, { headers }));
    assertRefusedProof(await call(own, { headers: await credentials(token, own) }));
    assertRefusedToken(await call(own, { token }));
  }
});

test('A31 a request that was not pushed is refused, and so is a code by another key', async () => {
  const { url } = await authorizationRequest('openid', {}, 'demo-secure');
  const page = await createBrowser().open(url.href);
  const answer = new URL(page.redirect ?? '').searchParams;
  assert.deepEqual([answer.get('error'), answer.get('code')], ['invalid_request', null]);
  const { callback, checks } = await authorize('openid items:read');
  const stranger = getDPoPHandle(config, await randomDPoPKeyPair('ES256'));
  await assert.rejects(authorizationCodeGrant(config, callback, checks, undefined, { DPoP: stranger }));
});

test('J34 a refreshed token is bound to the key that asked for it, and none is given without a key', async () => {
  const url = `${gateway}/items`;
  const { refresh_token: first = '' } = await signInBound('openid items:read offline_access');
  await assert.rejects(refreshTokenGrant(config, first));
  const renewed = await refreshTokenGrant(config, first, undefined, { DPoP });
  assert.equal(renewed.token_type, 'dpop');
  const headers = await credentials(renewed.access_token, url);
  assert.equal((await call(url, { headers })).status, 200);
});

test('J37 a bound token dies with its revocation, whatever proof it brings', async () => {
  const { access_token: token } = await signInBound('openid items:read');
  const url = `${gateway}/items`;
  const send = async () => call(url, { headers: await credentials(token, url) });
  assert.equal((await send()).status, 200);
  await tokenRevocation(config, token);
  const giveUpAt = performance.now() + 1_000;
  let answer = await send();
  while (answer.status === 200 && performance.now() < giveUpAt) answer = await send();
  assertProblem(answer, 401);
  assert.match(answer.headers.get('www-authenticate') ?? '', /^DPoP .*error="invalid_token"/);
});

test('J34 J35 a bound token of an administrator is taken at /admin with its own fresh proof alone', async () => {
  const redirect_uri = `${gateway}/explorer/callback`;
  const {
    config: explorer,
    url,
    checks,
  } = await authorizationRequest('openid users:admin', { redirect_uri }, 'explorer');
  // This client is at home at the origin of the server, so a browser follows the last redirect too.
  const browser = createBrowser();
  let page = await submitPassword(browser, await browser.open(url.href), 'admin', passwords.admin);
  if (page.forms.length > 0) page = await browser.submit(page, {}, { button: 'Allow' });
  const callback = new URL(page.url);
  remember(...callback.searchParams.getAll('code'));
  const bound = { DPoP: getDPoPHandle(explorer, key) };
  const { access_token: token } = await authorizationCodeGrant(explorer, callback, checks, undefined, bound);

  const keys = `${gateway}/admin/keys`;
  const headers = await credentials(token, keys);
  assert.equal((await call(keys, { headers })).status, 200);
  assertRefusedProof(await call(keys, { headers }));
  assertRefusedProof(await call(`${gateway}/admin/audit`, { headers: await credentials(token, keys) }));
  assertRefusedProof(await call(keys, { headers: { authorization: `DPoP ${token}` } }));
  assertRefusedToken(await call(keys, { headers: { authorization: `Bearer ${token}` } }));
});
