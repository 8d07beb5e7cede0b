import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { type TestContext, test } from 'node:test';
import { checksIn } from '@gatehouse/test-kit';
import { type Answer, startTestGateway } from './start-gateway.ts';

// Two fields, as a list may be sent (RFC 9110, 5.3).
const explainedByUpstream: RequestListener = (req, res) => {
  const status = req.url === '/items/none' ? 404 : 200;
  const entries = ['items.authn;desc="verified";dur=0.500, items.scope;dur=0.001', 'items.total;dur=1.000'];
  res.writeHead(status, { 'Server-Timing': entries }).end();
};
const told = ['items.authn: verified', 'items.scope', 'items.total'];
const passed = ['gateway.hygiene: ok', 'gateway.authn: verified', 'gateway.denylist: live'];

function start(t: TestContext, options: Parameters<typeof startTestGateway>[1] = {}) {
  return startTestGateway(t, { env: { EXPLAIN: 'true' }, ...options });
}

function assertTold(answer: Answer, status: number, ...checks: string[]): void {
  assert.equal(answer.status, status);
  const header = answer.headers['server-timing'];
  assert.deepEqual(checksIn(String(header)), [...checks, 'gateway.total']);
}

test("an answer tells of the gateway's checks, the service's, and the wait for it, in the order of the walk", async (t) => {
  const gateway = await start(t, { answer: explainedByUpstream });
  const headers = { authorization: await gateway.bearer() };
  const get = (path: string) => gateway.send(path, { headers });
  assertTold(await get('/items'), 200, ...passed, ...told, 'gateway.upstream: 200');
  const again = passed.with(1, 'gateway.authn: remembered');
  assertTold(await get('/items/none'), 404, ...again, ...told, 'gateway.upstream: 404');
  const mine = [...again, 'gateway.scope: items:read ok', ...told, 'gateway.upstream: 200'];
  assertTold(await get('/users/me/items'), 200, ...mine);
  assertTold(await gateway.send('/token'), 200, 'gateway.hygiene: ok', ...told, 'gateway.upstream: 200');
});

test('a refusal tells of the checks up to the one that refused', async (t) => {
  const gateway = await start(t);
  assertTold(await gateway.send('/items;x'), 400, 'gateway.hygiene: refused');
  assertTold(await gateway.send('/items', { headers: { host: 'other' } }), 400, 'gateway.hygiene: refused');
  assertTold(
    await gateway.send('/items', { headers: { connection: 'host' } }),
    400,
    'gateway.hygiene: refused',
  );
  assertTold(await gateway.send('/nowhere'), 404, 'gateway.hygiene: ok');
  assertTold(await gateway.send('/items'), 401, 'gateway.hygiene: ok', 'gateway.authn: no_credentials');
  const headers = { authorization: await gateway.bearer({ jti: 'gone', scope: 'profile:read' }) };
  const unscoped = await gateway.send('/users/me/items', { headers });
  assertTold(unscoped, 403, ...passed, 'gateway.scope: items:read missing');
  await gateway.denylist.append([{ jti: 'gone', exp: Math.floor(Date.now() / 1000) + 300 }]);
  const revoked = ['gateway.hygiene: ok', 'gateway.authn: remembered', 'gateway.denylist: revoked'];
  assertTold(await gateway.send('/items', { headers }), 401, ...revoked);
  await gateway.denylist.close();
  const unavailable = revoked.with(2, 'gateway.denylist: unavailable');
  assertTold(await gateway.send('/items', { headers }), 503, ...unavailable);
});

test('a service that cannot be reached, or breaks off, is told of without where it is', async (t) => {
  const cases = [
    [{ upstreamUrl: 'http://127.0.0.1:1' }, 503, 'gateway.upstream: The service is not reachable'],
    [{ answer: (req) => req.socket.destroy() }, 502, 'gateway.upstream: The service broke off'],
  ] satisfies [Parameters<typeof startTestGateway>[1], number, string][];
  for (const [options, status, check] of cases) {
    const gateway = await start(t, options);
    const answer = await gateway.send('/items', { headers: { authorization: await gateway.bearer() } });
    assertTold(answer, status, ...passed, check);
  }
});

test('where nothing is explained, nothing is told: not by the gateway, not by what is behind it, whoever asks', async (t) => {
  for (const env of [{ NODE_ENV: 'production' }, { EXPLAIN: 'false' }]) {
    const gateway = await start(t, { answer: explainedByUpstream, env });
    const authorization = await gateway.bearer();
    const asking = { authorization, explain: 'true', 'server-timing': 'x;dur=1', 'x-explain': '1' };
    for (const headers of [{ authorization }, asking, {}]) {
      for (const path of ['/items?explain=true', '/items/none', '/token', '/nowhere', '/items;x']) {
        const answer = await gateway.send(path, { headers });
        assert.equal(answer.headers['server-timing'], undefined, `${JSON.stringify(env)} ${path}`);
      }
    }
  }
});
