import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createTestIssuer, rawRequest } from '@gatehouse/test-kit';
import { createKeySet } from '../src/index.ts';
import { assertInvalidToken, epochSeconds } from '../testing/guarded.ts';
import { openApp } from './app.ts';

const bareChallenges = 'Bearer realm="api", DPoP realm="api", algs="ES256"';

test('a valid token tells who is calling', async (t) => {
  const app = await openApp(t);
  const now = epochSeconds();
  const token = await app.issuer.sign({
    jti: 'token-1',
    scope: 'items:read orders:read',
    roles: ['customer', 'admin'],
    iat: now,
    exp: now + 60,
  });
  const response = await app.get(token);
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), {
    subject: 'alice',
    clientId: 'test-client',
    kind: 'user',
    audience: app.issuer.audience,
    scopes: ['items:read', 'orders:read'],
    roles: ['customer', 'admin'],
    tokenId: 'token-1',
    grantId: 'test-grant',
    issuedAt: now,
    expiresAt: now + 60,
  });
});

test('a token without scope, roles and grant is a caller without rights', async (t) => {
  const app = await openApp(t);
  for (const scope of [undefined, '']) {
    const token = await app.issuer.sign({ scope, roles: undefined, gid: undefined });
    const caller = (await (await app.get(token)).json()) as Record<string, unknown>;
    assert.deepEqual([caller.scopes, caller.roles, caller.grantId], [[], [], undefined]);
    assert.equal((await app.get(token, '/items')).status, 403);
  }
});

test('a client that acts for itself is told from a user', async (t) => {
  const app = await openApp(t);
  const token = await app.issuer.sign({ sub: 'reporting', client_id: 'reporting' });
  assert.equal(((await (await app.get(token)).json()) as { kind: string }).kind, 'client');
});

test('J33 an exchanged token tells subject and actor', async (t) => {
  const app = await openApp(t);
  const token = await app.issuer.sign({ act: { sub: 'orders-service' }, aud: 'urn:gatehouse:items' });
  const caller = (await (await app.get(token)).json()) as Record<string, unknown>;
  assert.deepEqual([caller.subject, caller.actor], ['alice', 'orders-service']);
});

test('T01 a token in the query is no credential, not even beside other parameters', async (t) => {
  const app = await openApp(t);
  const token = await app.issuer.sign();
  for (const path of [`/?access_token=${token}`, `/?a=b&access_token=${token}`]) {
    const response = await fetch(`${app.url}${path}`);
    assert.equal(response.status, 401);
    assert.equal(response.headers.get('www-authenticate'), bareChallenges);
  }
});

test('T02 a token in header and query is 400 invalid_request', async (t) => {
  const app = await openApp(t);
  const token = await app.issuer.sign();
  for (const path of [`/?access_token=${token}`, '/?a=b&access_token=']) {
    const response = await app.get(token, path);
    assert.equal(response.status, 400, path);
    assert.match(
      response.headers.get('www-authenticate') ?? '',
      /^Bearer realm="api", error="invalid_request"/,
    );
  }
  assert.equal((await app.get(token, '/?my_access_token=x')).status, 200);
});

test('T03 a token in a form body is no credential', async (t) => {
  const app = await openApp(t);
  const body = new URLSearchParams({ access_token: await app.issuer.sign() });
  const response = await fetch(app.url, { method: 'POST', body });
  assert.equal(response.status, 401);
  assert.equal(response.headers.get('www-authenticate'), bareChallenges);
});

test('T04 two Authorization headers are 400 in both orders, also when the first is known to be good', async (t) => {
  const app = await openApp(t);
  const good = `Bearer ${await app.issuer.sign()}`;
  const send = (...values: string[]) =>
    rawRequest(
      app.port,
      `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${values.map((value, i) => `${i ? 'Authorization' : 'aUTHORIZATION'}: ${value}\r\n`).join('')}\r\n`,
    );
  assert.equal((await send(good)).status, 200);
  for (const values of [
    [good, 'Bearer bad'],
    ['Bearer bad', good],
    [good, good],
    [good, ''],
  ]) {
    const { status, text } = await send(...values);
    assert.equal(status, 400);
    assert.match(text, /error="invalid_request"/);
  }
});

test('T05, T07 other schemes and malformed credentials are 401', async (t) => {
  const app = await openApp(t);
  const token = await app.issuer.sign();
  const malformed = [
    `Bearer ${token}, Bearer x`,
    `Bearer ${token} x`,
    `Basic ${token}`,
    `Token ${token}`,
    `Bearer`,
    `Bearer  ${token}`,
    `Bearer\t${token}`,
    `Bearer${token}`,
    token,
    `DPoP ${token}`,
    `Bearer: ${token}`,
    `Bearer token=${token}`,
    `Bearer "${token}"`,
  ];
  for (const authorization of malformed) {
    const response = await fetch(app.url, { headers: { authorization } });
    assert.equal(response.status, 401, authorization.replace(token, 'AT'));
  }
  assert.equal((await app.get(token)).status, 200);
});

test('T06 the scheme is read in any case', async (t) => {
  const app = await openApp(t);
  const authorization = `bEaReR ${await app.issuer.sign()}`;
  assert.equal((await fetch(app.url, { headers: { authorization } })).status, 200);
});

test('T08 who sends no credentials is challenged without an error', async (t) => {
  const app = await openApp(t);
  const response = await fetch(app.url);
  assert.equal(response.status, 401);
  assert.equal(response.headers.get('www-authenticate'), bareChallenges);
  assert.equal(response.headers.get('cache-control'), 'no-store');
});

test('T09 a token in any other header is no credential', async (t) => {
  const app = await openApp(t);
  const token = await app.issuer.sign();
  for (const name of ['cookie', 'x-access-token', 'proxy-authorization', 'x-forwarded-authorization']) {
    const value = name === 'cookie' ? `access_token=${token}` : `Bearer ${token}`;
    const { status } = await rawRequest(
      app.port,
      `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${name}: ${value}\r\n\r\n`,
    );
    assert.equal(status, 401, name);
  }
});

test('T10 a validly signed token of 9 KiB or more is refused, one of 7 KiB is not', async (t) => {
  const app = await openApp(t);
  const signed = (bytes: number) => app.issuer.sign({ padding: 'x'.repeat((bytes * 3) / 4 - 400) });
  assert.equal((await app.get(await signed(7000))).status, 200);
  assertInvalidToken(await app.get(await signed(9500)));
  assertInvalidToken(await app.get(await signed(14_000)));
});

test('A39 challenges tell where the resource metadata is, when there is any', async (t) => {
  const resourceMetadataUrl = 'https://api.example/.well-known/oauth-protected-resource';
  const app = await openApp(t, { resourceMetadataUrl });
  for (const response of [await fetch(app.url), await app.get('bad')]) {
    assert.equal(response.status, 401);
    assert.ok(
      response.headers.get('www-authenticate')?.endsWith(`, resource_metadata="${resourceMetadataUrl}"`),
    );
  }
});

test('a token is verified once and remembered', async (t) => {
  const app = await openApp(t);
  const token = await app.issuer.sign();
  for (let i = 0; i < 3; i++) assert.equal((await app.get(token)).status, 200);
  assert.deepEqual(app.verdicts, ['verified', 'remembered', 'remembered']);
});

test('a remembered token is refused from the moment it expires', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const app = await openApp(t);
  const token = await app.issuer.sign({ exp: epochSeconds() + 60 });
  assert.equal((await app.get(token)).status, 200);
  t.mock.timers.tick(64_000);
  assert.equal((await app.get(token)).status, 200, 'within the leeway of five seconds');
  t.mock.timers.tick(1000);
  const response = await app.get(token);
  assertInvalidToken(response);
  assert.deepEqual(await response.json(), { detail: 'The access token has expired' });
  assert.deepEqual(app.verdicts, ['verified', 'remembered', 'invalid_token']);
});

test('a remembered token that a clock put back finds in the future is refused as a new one is', async (t) => {
  const now = Date.now();
  t.mock.timers.enable({ apis: ['Date'], now });
  const app = await openApp(t);
  const [remembered, unseen] = [await app.issuer.sign(), await app.issuer.sign()];
  assert.equal((await app.get(remembered)).status, 200);
  t.mock.timers.setTime(now - 10_000);
  for (const token of [remembered, unseen]) assertInvalidToken(await app.get(token));
  assert.deepEqual(app.verdicts, ['verified', 'invalid_token', 'invalid_token']);
});

test('a remembered token is refused from the moment it is revoked: by itself, by grant, by subject', async (t) => {
  const app = await openApp(t);
  const now = epochSeconds();
  const tokens = {
    jti: await app.issuer.sign({ jti: 'one', gid: 'g1', sub: 's1' }),
    gid: await app.issuer.sign({ jti: 'two', gid: 'g2', sub: 's2' }),
    sub: await app.issuer.sign({ jti: 'three', gid: undefined, sub: 's3', iat: now - 1 }),
    none: await app.issuer.sign({ jti: 'four', gid: 'g4', sub: 's4' }),
  };
  for (const token of Object.values(tokens)) assert.equal((await app.get(token)).status, 200);
  const exp = now + 300;
  await app.denylist.append([
    { jti: 'one', exp },
    { gid: 'g2', exp },
    { sub: 's3', notBefore: now, exp },
  ]);
  for (const kind of ['jti', 'gid', 'sub'] as const) {
    const response = await app.get(tokens[kind]);
    assertInvalidToken(response, kind);
    assert.deepEqual(await response.json(), { detail: 'The access token has been revoked' });
  }
  assert.equal((await app.get(tokens.none)).status, 200);
});

test('a revoked token is refused at its first appearance too', async (t) => {
  const app = await openApp(t);
  await app.denylist.append([{ jti: 'gone', exp: epochSeconds() + 300 }]);
  assertInvalidToken(await app.get(await app.issuer.sign({ jti: 'gone' })));
});

test('without a denylist to ask, every token is 503 with Retry-After, never 200 or 401', async (t) => {
  const app = await openApp(t, { complete: false });
  const token = await app.issuer.sign();
  for (let i = 0; i < 2; i++) {
    const response = await app.get(token);
    assert.equal(response.status, 503);
    assert.equal(response.headers.get('retry-after'), '1');
    assert.equal(response.headers.get('www-authenticate'), null);
  }
  assert.equal((await fetch(app.url)).status, 401);
  await app.denylist.markComplete();
  assert.equal((await app.get(token)).status, 200);
});

test('a denylist that fails in an unknown way lets nobody through', async (t) => {
  const broken = {
    isRevoked() {
      throw new Error('unforeseen');
    },
  };
  const app = await openApp(t, { denylist: broken });
  const token = await app.issuer.sign();
  assert.equal((await app.get(token)).status, 500);
  assert.equal((await app.get(token)).status, 500);
});

test('a token that could not be verified is not remembered as such: the next request has it verified anew', async (t) => {
  const issuer = await createTestIssuer();
  const keySet = createKeySet({ jwksUri: issuer.jwksUri });
  let failures = 1;
  const knows = (kid: string) => {
    if (failures-- > 0) throw new Error('the issuer does not answer');
    return keySet.knows(kid);
  };
  const app = await openApp(t, { keySet: { ...keySet, knows } }, issuer);
  t.after(() => keySet.close());
  await keySet.load();
  const token = await issuer.sign();
  assert.equal((await app.get(token)).status, 503);
  assert.equal((await app.get(token)).status, 200);
});

test('twenty requests with the same new token verify it once', async (t) => {
  const app = await openApp(t);
  await app.keySet.load();
  const gate = Promise.withResolvers<boolean>();
  let verifications = 0;
  app.keySet.knows = () => {
    verifications++;
    return gate.promise;
  };
  const token = await app.issuer.sign();
  const answers = Promise.all(Array.from({ length: 20 }, () => app.get(token)));
  await delay(200);
  gate.resolve(true);
  assert.deepEqual(new Set((await answers).map(({ status }) => status)), new Set([200]));
  assert.equal(verifications, 1);
});

test('the environment does not change what is verified', async (t) => {
  const traps = {
    ISSUER: 'https://evil.example',
    ISSUER_BASE_URL: 'https://evil.example',
    JWKS_URI: 'https://evil.example/jwks',
    AUDIENCE: 'urn:evil',
    SECRET: 'evil',
    TOKEN_SIGNING_ALG: 'HS256',
  };
  const before = { ...process.env };
  t.after(() => {
    for (const name of Object.keys(traps)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });
  Object.assign(process.env, traps);
  const app = await openApp(t);
  assert.equal((await app.get(await app.issuer.sign())).status, 200);
  assertInvalidToken(await app.get(await app.issuer.sign({ aud: 'urn:evil' })));
  assertInvalidToken(await app.get(await app.issuer.sign({ iss: 'https://evil.example' })));
});

test('a route without the guard is a 500 and no data', async (t) => {
  const app = await openApp(t);
  const response = await app.get(await app.issuer.sign(), '/unguarded');
  assert.equal(response.status, 500);
  assert.deepEqual(await response.json(), { detail: 'Internal error' });
});
