import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertProblem, call } from '../http.ts';
import { tokenOf } from '../sign-in.ts';
import { gateway, guardedRoutes, services } from '../target.ts';

test('H34 every kind of answer is hardened, and tells nothing of what made it', async () => {
  const token = await tokenOf('alice', 'profile:read items:read');
  const answers = [
    [200, await call(`${gateway}/users/me`, { token })],
    [200, await call(`${gateway}/health/live`)],
    [200, await call(`${gateway}/.well-known/jwks.json`)],
    [400, await call(`${gateway}/authorize`)],
    [400, await call(`${gateway}/token`, { form: { client_id: 'demo-cli', grant_type: 'nonsense' } })],
    [401, await call(`${gateway}/token`, { form: { grant_type: 'nonsense' } })],
    [401, await call(`${gateway}/users/me`)],
    [403, await call(`${gateway}/orders`, { token })],
    [404, await call(`${gateway}/nothing/here`)],
    [405, await call(`${gateway}/users/me`, { token, method: 'DELETE' })],
  ] as const;
  for (const [status, { headers, ...answer }] of answers) {
    assert.equal(answer.status, status, answer.text);
    assert.match(headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/);
    assert.match(headers.get('x-frame-options') ?? '', /^deny$/i);
    assert.ok(headers.get('referrer-policy'));
    assert.ok(headers.get('x-request-id'));
    const isTls = gateway.startsWith('https:');
    assert.equal(headers.has('strict-transport-security'), isTls);
  }
});

test('a well-formed request id is kept through every hop, and any other replaced', async () => {
  for (const origin of [gateway, ...Object.values(services ?? {})]) {
    const kept = await call(`${origin}/nothing`, { headers: { 'x-request-id': 'e2e-request-0001' } });
    assert.equal(assertProblem(kept, 404).requestId, 'e2e-request-0001');
    const replaced = await call(`${origin}/nothing`, { headers: { 'x-request-id': 'not well "formed"' } });
    assert.match(assertProblem(replaced, 404).requestId, /^[\w-]{8,64}$/);
  }
  const token = await tokenOf('alice', 'orders:read');
  const fromService = await call(`${gateway}/orders/00000000-0000-4000-8000-000000000000`, {
    token,
    headers: { 'x-request-id': 'e2e-request-0002' },
  });
  assert.equal(assertProblem(fromService, 404).requestId, 'e2e-request-0002');
});

test('H39 unknown routes are 404, and nothing of the inside is one', async () => {
  const paths = ['/nothing', '/metrics', '/internal', '/health', '/env', '/.env', '/.git/config'];
  for (const path of paths) assertProblem(await call(`${gateway}${path}`), 404);
  for (const path of ['/admin', '/admin/keys']) assertProblem(await call(`${gateway}${path}`), 401);
  for (const origin of Object.values(services ?? {})) {
    for (const path of ['/', '/nothing', '/metrics']) assertProblem(await call(`${origin}${path}`), 404);
  }
});

test('a method that a route does not have is 405, and the ones it has are named', async () => {
  const token = await tokenOf('alice', 'profile:read items:read orders:read');
  for (const url of Object.values(guardedRoutes)) {
    const answer = await call(url, { token, method: 'PUT' });
    assertProblem(answer, 405);
    assert.match(answer.headers.get('allow') ?? '', /\bGET\b/);
  }
});

test('H12 H13 another spelling of a path or method is no way around the guard', async () => {
  const token = await tokenOf('alice', 'profile:read');
  for (const path of ['/ITEMS', '/Items', '/items/', '/items.json', '/users/me/ITEMS', '/users/me/items/']) {
    const { status } = await call(`${gateway}${path}`, { token });
    assert.ok([400, 401, 403, 404].includes(status), `${path}: ${status}`);
  }
  for (const name of ['x-http-method-override', 'x-method-override', 'x-http-method']) {
    const { status } = await call(`${gateway}/users/me`, { token, headers: { [name]: 'DELETE' } });
    assert.equal(status, 200);
  }
});
