import assert from 'node:assert/strict';
import { test } from 'node:test';
import { send, startTestGateway, until } from './start-gateway.ts';

test('each path of the table reaches its upstream, unchanged', async (t) => {
  const gateway = await startTestGateway(t);
  const authorization = await gateway.bearer();
  const targets = {
    users: ['/users', '/users/me', '/users/5f0c?x=1'],
    items: [
      '/items',
      '/items/',
      '/items/5f0c?limit=2&q=a%20b',
      '/items/caf%C3%A9',
      '/users/me/items?limit=1',
    ],
    orders: ['/orders', '/orders/5f0c'],
    auth: [
      '/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server',
      '/.well-known/jwks.json',
      '/authorize?client_id=a&scope=openid%20email',
      '/authorize/5f0c',
      '/token',
      '/par',
      '/device',
      '/device/authorize',
      '/introspect',
      '/revoke',
      '/userinfo',
      '/logout',
      '/interaction/5f0c',
      '/register',
      '/account',
      '/account/password',
    ],
  };
  for (const [upstream, paths] of Object.entries(targets)) {
    for (const path of paths) {
      const answer = await gateway.send(path, { headers: { authorization } });
      assert.deepEqual([answer.status, answer.json.from], [200, upstream], path);
      assert.equal(gateway.received.at(-1)?.url, path);
    }
  }
});

test('everything else is a 404 problem without an upstream request (H39)', async (t) => {
  const gateway = await startTestGateway(t);
  const authorization = await gateway.bearer();
  const paths = [
    '/metrics',
    '/internal',
    '/administration',
    '/__debug',
    '/docsx',
    '/docs/openapi.json',
    '/openapi',
    '/explorerx',
    '/explorer/index.html',
    '/itemsx',
    '/accounts/5f0c',
  ];
  for (const path of [...paths, '/health', '/health/verbose', '/.well-known/security.txt']) {
    const answer = await gateway.send(path, { headers: { authorization } });
    assert.equal(answer.status, 404, path);
    assert.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8', path);
  }
  assert.deepEqual(gateway.received, []);
});

test('H12 a path in other letters is another path, and 404', async (t) => {
  const gateway = await startTestGateway(t);
  const authorization = await gateway.bearer();
  for (const path of ['/ITEMS', '/Items/', '/%69tems', '/items.json', '/USERS/me/items']) {
    assert.equal((await gateway.send(path, { headers: { authorization } })).status, 404, path);
  }
  assert.deepEqual(gateway.received, []);
});

test("H12 every spelling below a path has that path's guard", async (t) => {
  const gateway = await startTestGateway(t);
  for (const path of ['/items/', '/items/x', '/items/x.json', '/users/me/items/', '/users/me/items/x']) {
    assert.equal((await gateway.send(path)).status, 401, path);
  }
});

test('A39 the protected resource metadata names the public origin and its authorization server', async (t) => {
  const gateway = await startTestGateway(t);
  const answer = await gateway.send('/.well-known/oauth-protected-resource');
  assert.equal(answer.status, 200);
  assert.equal(answer.json.resource, gateway.issuer.issuer);
  assert.deepEqual(answer.json.authorization_servers, [gateway.issuer.issuer]);
  assert.deepEqual(answer.json.bearer_methods_supported, ['header']);
  assert.deepEqual(answer.json.dpop_signing_alg_values_supported, ['ES256']);
  assert.equal(answer.json.dpop_bound_access_tokens_required, undefined, 'bearer tokens are taken too');
  const post = await gateway.send('/.well-known/oauth-protected-resource', { method: 'POST' });
  assert.deepEqual([post.status, post.headers.allow], [405, 'GET, HEAD']);
});

test('every answer is measured and logged by its row of the table, whoever gave it', async (t) => {
  const gateway = await startTestGateway(t, { upstreamUrl: 'http://127.0.0.1:1' });
  const headers = { authorization: await gateway.bearer() };
  const scopeless = { authorization: await gateway.bearer({ scope: 'orders:read' }) };
  await gateway.send('/orders/5f0c');
  await gateway.send('/users/me/items', { headers: scopeless });
  await gateway.send('/items/5f0c', { headers });
  await gateway.send('/nowhere');
  await until(() => gateway.log.filter((line) => line.includes('"msg":"request"')).length === 4, 2_000);
  const text = await gateway.metrics.registry.metrics();
  for (const [route, status] of [
    ['/orders', 401],
    ['/users/me/items', 403],
    ['/items', 503],
    ['unmatched', 404],
  ]) {
    assert.match(text, new RegExp(`_count{.*route="${route}",status="${status}"} 1`));
    assert.ok(gateway.log.some((line) => line.includes(`"route":"${route}","status":${status}`)));
  }
});

test('further hosts are taken in any letters, and with spaces between them', async (t) => {
  const gateway = await startTestGateway(t, {
    env: { ALLOWED_HOSTS: 'API.example.com, b.example.com:8443' },
  });
  for (const host of ['api.example.com', 'Api.Example.Com', 'b.example.com:8443'])
    assert.equal((await gateway.send('/token', { headers: { host } })).status, 200, host);
  assert.equal((await gateway.send('/token', { headers: { host: 'b.example.com' } })).status, 400);
});

test('health answers under any host, ready once keys and denylist are there', async (t) => {
  const gateway = await startTestGateway(t);
  for (const path of ['/health/live', '/health/ready']) {
    assert.equal((await gateway.send(path, { headers: { host: '10.1.2.3:8080' } })).status, 200, path);
  }
});

test('R11 without keys the gateway starts, is not ready, and heals by itself', async (t) => {
  const gateway = await startTestGateway(t, { keys: false });
  assert.equal((await gateway.send('/health/ready')).status, 503);
  assert.equal((await gateway.send('/health/live')).status, 200);
  gateway.issuer.jwks.answer = undefined;
  const deadline = Date.now() + 5_000;
  while ((await gateway.send('/health/ready')).status !== 200)
    assert.ok(Date.now() < deadline, 'never ready');
});

test('the request id of a client is kept and reaches the upstream, an odd one is replaced', async (t) => {
  const gateway = await startTestGateway(t);
  const kept = await gateway.send('/token', { headers: { 'x-request-id': 'client-id-0001' } });
  assert.equal(kept.headers['x-request-id'], 'client-id-0001');
  assert.equal(gateway.received[0]?.headers['x-request-id'], 'client-id-0001');
  const replaced = await gateway.send('/token', { headers: { 'x-request-id': 'two words' } });
  assert.match(String(replaced.headers['x-request-id']), /^[\da-f-]{36}$/);
  assert.equal(gateway.received[1]?.headers['x-request-id'], replaced.headers['x-request-id']);
  const problem = await gateway.send('/nowhere');
  assert.equal(problem.json.requestId, problem.headers['x-request-id']);
});

test('two gateways in one process do not share anything', async (t) => {
  const [one, other] = [await startTestGateway(t), await startTestGateway(t)];
  assert.equal(
    (await send(one.port, '/items', { headers: { authorization: await other.bearer() } })).status,
    401,
  );
  await one.send('/token');
  assert.equal(other.received.length, 0);
});
