import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { allUpstreamsAt, GatewayConfigSchema } from '../src/start.ts';
import { type Answer, startTestGateway, until } from './start-gateway.ts';

const shop = 'https://shop.example';
const env = { ALLOWED_ORIGINS: `http://localhost:5173, ${shop}` };

const preflight = (origin: string) => ({
  method: 'OPTIONS',
  headers: {
    origin,
    'access-control-request-method': 'PUT',
    'access-control-request-headers': 'authorization,content-type,if-match',
  },
});

const readers = ({ headers }: Answer) => headers['access-control-allow-origin'];

test('T14 a preflight of an allowed origin is 204 with what may be sent, and no upstream hears of it', async (t) => {
  const gateway = await startTestGateway(t, { env });
  for (const path of ['/items/1', '/orders', '/users/me', '/users/me/items', '/admin/keys']) {
    const answer = await gateway.send(path, preflight(shop));
    assert.equal(answer.status, 204, path);
    assert.equal(readers(answer), shop);
    assert.match(String(answer.headers['access-control-allow-methods']), /\bPUT\b/);
    const allowed = String(answer.headers['access-control-allow-headers']).toLowerCase().split(',');
    for (const name of [
      'authorization',
      'dpop',
      'content-type',
      'if-match',
      'idempotency-key',
      'last-event-id',
      'traceparent',
    ]) {
      assert.ok(allowed.includes(name), name);
    }
    assert.match(String(answer.headers.vary), /\bOrigin\b/);
    assert.equal(answer.headers['access-control-allow-credentials'], undefined);
    assert.ok(answer.headers['x-request-id'], 'what every answer has');
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  }
  assert.deepEqual(gateway.received, []);
});

test('T14 other origins, null and those that look alike are allowed nothing', async (t) => {
  const gateway = await startTestGateway(t, { env });
  const closed = await startTestGateway(t);
  const authorization = await gateway.bearer();
  for (const origin of ['null', 'https://shop.example.evil', 'http://shop.example', `${shop}:8443`, '*']) {
    assert.equal(readers(await gateway.send('/orders', preflight(origin))), undefined, origin);
    const answer = await gateway.send('/orders', { headers: { origin, authorization } });
    assert.equal(readers(answer), undefined, origin);
  }
  const answer = await closed.send('/orders', preflight(shop));
  assert.equal(answer.status, 401, 'where no origin is allowed');
  assert.equal(readers(answer), undefined);
});

test('T14 a page of an allowed origin reads the answer, a refusal too, with what it needs of the headers', async (t) => {
  const gateway = await startTestGateway(t, {
    env,
    answer: (_req, res) => res.setHeader('vary', 'Accept').setHeader('etag', '"1"').end('{}'),
  });
  const authorization = await gateway.bearer();
  const good = await gateway.send('/orders', { headers: { origin: shop, authorization } });
  assert.equal(good.status, 200);
  assert.match(String(good.headers.vary), /\bOrigin\b.*\bAccept\b/, 'what the upstream says as well');
  const refused = await gateway.send('/orders', { headers: { origin: shop } });
  assert.equal(refused.status, 401);
  for (const answer of [good, refused]) {
    assert.equal(readers(answer), shop);
    const exposed = String(answer.headers['access-control-expose-headers']).toLowerCase().split(',');
    for (const name of ['etag', 'location', 'retry-after', 'www-authenticate'])
      assert.ok(exposed.includes(name), name);
  }
  const metadata = '/.well-known/oauth-protected-resource';
  assert.equal(readers(await gateway.send(metadata, { headers: { origin: shop } })), shop);
});

test('T14 it reads why it is refused before anybody looks at a token: a form, a limit, an overload', async (t) => {
  const held: (() => void)[] = [];
  const answer = (_req: unknown, res: ServerResponse) => held.push(() => res.end('{}'));
  const limited = await startTestGateway(t, { env: { ...env, RATE_LIMIT_ADDRESS: '2' } });
  const busy = await startTestGateway(t, { env: { ...env, MAX_IN_FLIGHT: '1', MAX_WAIT_MS: '100' }, answer });
  const headers = { origin: shop };
  const malformed = await limited.send('/orders', { headers: { ...headers, host: 'other.example' } });
  await limited.send('/orders', { headers });
  const tooMany = await limited.send('/orders', { headers });
  const holding = busy.send('/token');
  await until(() => held.length === 1, 2_000);
  const tooMuch = await busy.send('/orders', { headers });
  const elsewhere = await busy.send('/orders', { headers: { origin: `${shop}.evil` } });
  held[0]?.();
  await holding;
  assert.deepEqual(
    [malformed, tooMany, tooMuch, elsewhere].map(({ status }) => status),
    [400, 429, 503, 503],
  );
  for (const refused of [malformed, tooMany, tooMuch]) {
    assert.equal(readers(refused), shop);
    assert.match(String(refused.headers['access-control-expose-headers']), /\bRetry-After\b/);
    assert.match(String(refused.headers.vary), /\bOrigin\b/);
    assert.equal(refused.headers['access-control-allow-credentials'], undefined);
  }
  assert.equal(readers(elsewhere), undefined);
  assert.equal(readers(await limited.send('/token', { headers })), undefined, 'where others decide');
});

test('OPTIONS that asks for no leave needs a token like everything else', async (t) => {
  const gateway = await startTestGateway(t, { env });
  const ask = { method: 'OPTIONS', headers: { origin: shop } };
  assert.equal((await gateway.send('/orders', ask)).status, 401);
});

test('R40 what is no origin is a fault of the configuration', () => {
  const required = {
    ISSUER: 'http://localhost:8080',
    JWKS_URI: 'http://localhost/jwks',
    ...allUpstreamsAt('http://localhost'),
  };
  const isTaken = (origins: string) =>
    GatewayConfigSchema.safeParse({ ...required, ALLOWED_ORIGINS: origins }).success;
  for (const origins of ['', shop, `${shop},http://localhost:5173`]) assert.ok(isTaken(origins), origins);
  for (const origins of ['*', 'null', 'shop.example', `${shop}/`, `${shop},*`, 'com.example.app:']) {
    assert.ok(!isTaken(origins), origins);
  }
});
