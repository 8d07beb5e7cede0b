import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rawRequest } from '@gatehouse/test-kit';
import { publicHost, startTestGateway } from './start-gateway.ts';

const guarded = ['/users/me', '/users/me/items', '/items', '/items/5f0c', '/orders', '/orders/5f0c'];

test('T08 T13 without credentials every API path is 401 with a bare challenge, and no upstream hears of it', async (t) => {
  const gateway = await startTestGateway(t);
  for (const path of guarded) {
    for (const method of ['GET', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD']) {
      const answer = await gateway.send(path, { method });
      assert.equal(answer.status, 401, `${method} ${path}`);
      assert.match(String(answer.headers['www-authenticate']), /^Bearer/);
      assert.doesNotMatch(String(answer.headers['www-authenticate']), /error=/);
      assert.equal(answer.headers['cache-control'], 'no-store');
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    }
  }
  assert.deepEqual(gateway.received, []);
});

test('T09 a token anywhere but in Authorization is no token', async (t) => {
  const gateway = await startTestGateway(t);
  const authorization = await gateway.bearer();
  const token = authorization.slice('Bearer '.length);
  for (const name of ['cookie', 'x-access-token', 'proxy-authorization', 'x-forwarded-authorization']) {
    const value = name === 'cookie' ? `access_token=${token}` : authorization;
    assert.equal((await gateway.send('/items', { headers: { [name]: value } })).status, 401, name);
  }
  const query = await gateway.send(`/items?access_token=${token}`);
  assert.equal(query.status, 401, 'T01');
  const form = await gateway.send('/items', {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: `access_token=${token}`,
  });
  assert.equal(form.status, 401, 'T03');
  assert.deepEqual(gateway.received, []);
  assert.ok(!gateway.log.join('').includes(token), 'no token in the log (H36)');
});

test('T04 two Authorization headers are refused in both orders', async (t) => {
  const gateway = await startTestGateway(t);
  const good = await gateway.bearer();
  for (const [first, second] of [
    [good, 'Bearer x'],
    ['Bearer x', good],
    [good, good],
  ]) {
    const { status } = await rawRequest(
      gateway.port,
      `GET /items HTTP/1.1\r\nHost: ${publicHost}\r\nAuthorization: ${first}\r\nauthorization: ${second}\r\n\r\n`,
    );
    assert.equal(status, 400);
  }
  assert.deepEqual(gateway.received, []);
});

test('T02 T05 T07 T10 a credential that is malformed, doubled or too long reaches no upstream', async (t) => {
  const gateway = await startTestGateway(t);
  const good = await gateway.bearer();
  const token = good.slice('Bearer '.length);
  const doubled = await gateway.send(`/items?a=b&access_token=${token}`, {
    headers: { authorization: good },
  });
  assert.equal(doubled.status, 400, 'T02');
  const malformed = [
    `${good}, Bearer x`,
    `${good} x`,
    `Basic ${token}`,
    `Token ${token}`,
    'Bearer',
    `Bearer  ${token}`,
    `Bearer\t${token}`,
    token,
    `DPoP ${token}`,
    `Bearer token=${token}`,
    await gateway.bearer({ padding: 'x'.repeat(9_000) }),
  ];
  for (const authorization of malformed) {
    assert.equal((await gateway.send('/items', { headers: { authorization } })).status, 401);
  }
  const endless = `Bearer ${'x'.repeat(64 * 1024)}`;
  assert.equal((await gateway.send('/items', { headers: { authorization: endless } })).status, 431);
  assert.deepEqual(gateway.received, []);
});

test('T06 the scheme is read in any case', async (t) => {
  const gateway = await startTestGateway(t);
  const authorization = (await gateway.bearer()).replace('Bearer', 'bEaReR');
  assert.equal((await gateway.send('/items', { headers: { authorization } })).status, 200);
});

test('J38 a flood of unknown key ids asks the issuer once more, and no upstream', async (t) => {
  const gateway = await startTestGateway(t);
  assert.equal(
    (await gateway.send('/items', { headers: { authorization: await gateway.bearer() } })).status,
    200,
  );
  const fetches = gateway.issuer.jwks.fetches;
  const answers = Array.from({ length: 100 }, async (_, i) => {
    const authorization = `Bearer ${await gateway.issuer.sign({}, { kid: `unknown-${i}` })}`;
    return (await gateway.send('/items', { headers: { authorization } })).status;
  });
  assert.deepEqual(new Set(await Promise.all(answers)), new Set([401]));
  assert.equal(gateway.issuer.jwks.fetches, fetches + 1);
  assert.equal(gateway.received.length, 1);
});

test('a token of another key, another audience, or exchanged for one service is 401 at the gateway (J32)', async (t) => {
  const gateway = await startTestGateway(t);
  const stranger = await startTestGateway(t);
  const tokens = {
    'another key': await stranger.bearer(),
    'another audience': await gateway.bearer({ aud: 'urn:gatehouse:items', act: { sub: 'orders-service' } }),
    expired: await gateway.bearer({ exp: Math.floor(Date.now() / 1000) - 120 }),
  };
  for (const [reason, authorization] of Object.entries(tokens)) {
    const answer = await gateway.send('/items', { headers: { authorization } });
    assert.equal(answer.status, 401, reason);
    assert.match(String(answer.headers['www-authenticate']), /error="invalid_token"/);
  }
  assert.deepEqual(gateway.received, []);
});

test('T11 /users/me/items without items:read is 403 at the gateway and names the scope', async (t) => {
  const gateway = await startTestGateway(t);
  const headers = { authorization: await gateway.bearer({ scope: 'profile:read' }) };
  const answer = await gateway.send('/users/me/items', { headers });
  assert.equal(answer.status, 403);
  assert.match(String(answer.headers['www-authenticate']), /error="insufficient_scope".*scope="items:read"/);
  assert.deepEqual(gateway.received, []);
  assert.equal(
    (await gateway.send('/users/me', { headers })).status,
    200,
    'the other paths leave it to the service',
  );
});

test('a revoked token is refused at the next request', async (t) => {
  const gateway = await startTestGateway(t);
  const headers = { authorization: await gateway.bearer({ jti: 'revoked-soon' }) };
  assert.equal((await gateway.send('/items', { headers })).status, 200);
  await gateway.denylist.append([{ jti: 'revoked-soon', exp: Math.floor(Date.now() / 1000) + 300 }]);
  assert.equal((await gateway.send('/items', { headers })).status, 401);
  assert.equal(gateway.received.length, 1);
});

test('without a denylist a valid token is 503 with Retry-After, never 200 or 401; public paths stay up', async (t) => {
  const gateway = await startTestGateway(t);
  await gateway.denylist.close();
  const answer = await gateway.send('/items', { headers: { authorization: await gateway.bearer() } });
  assert.equal(answer.status, 503);
  assert.ok(Number(answer.headers['retry-after']) > 0);
  assert.deepEqual(gateway.received, []);
  assert.equal((await gateway.send('/.well-known/jwks.json')).status, 200);
});

test('without keys a token is 503 with Retry-After, never 401', async (t) => {
  const gateway = await startTestGateway(t, { keys: false });
  const answer = await gateway.send('/items', { headers: { authorization: await gateway.bearer() } });
  assert.equal(answer.status, 503);
  assert.ok(Number(answer.headers['retry-after']) > 0);
  assert.deepEqual(gateway.received, []);
});

test('auth gets the Authorization header and the cookies of its callers, without a verdict of the gateway', async (t) => {
  const gateway = await startTestGateway(t);
  const headers = { authorization: 'Basic ZGVtbzpzZWNyZXQ=', cookie: 'session=1' };
  assert.equal((await gateway.send('/token', { method: 'POST', headers, body: 'a=b' })).status, 200);
  assert.equal(gateway.received[0]?.headers.authorization, headers.authorization);
  assert.equal(gateway.received[0]?.headers.cookie, 'session=1');
});

test('services never see a cookie', async (t) => {
  const gateway = await startTestGateway(t);
  const headers = { authorization: await gateway.bearer(), cookie: 'session=1' };
  assert.equal((await gateway.send('/items', { headers })).status, 200);
  assert.equal(gateway.received[0]?.headers.cookie, undefined);
  assert.equal(gateway.received[0]?.headers.authorization, headers.authorization);
});

test('H24 of 100 pipelined requests with mixed identities on one socket each gets the answer to its own', async (t) => {
  const gateway = await startTestGateway(t, {
    // The later ones are answered first.
    answer: ({ url, headers }, res) => {
      setTimeout(
        () => res.end(`<${url} ${headers.authorization}>`),
        100 - Number(url?.slice('/items/'.length)),
      );
    },
  });
  const tokens = [await gateway.bearer({ sub: 'alice' }), await gateway.bearer({ sub: 'bob' }), undefined];
  const requests = Array.from({ length: 100 }, (_, i) => {
    const token = tokens[i % 3];
    const close = i === 99 ? 'Connection: close\r\n' : '';
    return `GET /items/${i} HTTP/1.1\r\nHost: ${publicHost}\r\n${token ? `Authorization: ${token}\r\n` : ''}${close}\r\n`;
  });
  const { text } = await rawRequest(gateway.port, requests.join(''), { timeoutMs: 10_000 });
  const answers = [...text.matchAll(/HTTP\/1\.1 401|<[^>]+>/g)].map(([answer]) => answer);
  assert.deepEqual(
    answers,
    requests.map((_, i) => {
      const token = tokens[i % 3];
      return token ? `</items/${i} ${token}>` : 'HTTP/1.1 401';
    }),
  );
});
