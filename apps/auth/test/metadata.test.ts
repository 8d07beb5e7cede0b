import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { rawRequest } from '@gatehouse/test-kit';
import { calculateJwkThumbprint } from 'jose';
import { authorizeUrl, issuer, startTestAuth, type TestAuth } from './start-test-auth.ts';

suite('metadata', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  test('both documents tell the same truth (RFC 8414)', async () => {
    const openid = await auth.send('/.well-known/openid-configuration');
    const oauth = await auth.send('/.well-known/oauth-authorization-server');
    assert.equal(openid.status, 200);
    assert.deepEqual(openid.body, oauth.body);
    assert.equal(openid.body.issuer, issuer);
    assert.ok(openid.body.scopes_supported.includes('orders:write'));
  });

  test('A04 A05 A35 offers the code flow with S256, and nothing that is off', async () => {
    const { body } = await auth.send('/.well-known/openid-configuration');
    assert.deepEqual(body.response_types_supported, ['code']);
    assert.deepEqual(body.code_challenge_methods_supported, ['S256']);
    assert.deepEqual(body.grant_types_supported, [
      'authorization_code',
      'refresh_token',
      'client_credentials',
      'urn:ietf:params:oauth:grant-type:device_code',
      'password',
      'urn:ietf:params:oauth:grant-type:token-exchange',
    ]);
    assert.equal(body.device_authorization_endpoint, `${issuer}/device/authorize`);
    assert.ok(!('registration_endpoint' in body));
  });

  test('A37 no header of a request changes an address', async () => {
    const headers = {
      host: 'evil.example',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'gopher',
      'x-forwarded-port': '1',
      forwarded: 'host=evil.example',
    };
    for (const path of ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server']) {
      const { body } = await auth.send(path, { headers });
      const addresses = Object.entries<unknown>(body).filter(([name]) =>
        /_endpoint$|_uri$|^issuer$/.test(name),
      );
      assert.ok(addresses.length >= 7);
      for (const [name, address] of addresses) {
        assert.ok(address === issuer || String(address).startsWith(`${issuer}/`), `${name} is ${address}`);
      }
    }
  });

  test('A37 no header of a request gets into an answer, of whatever endpoint or page', async () => {
    const poison = [
      'Host: evil.example',
      'X-Forwarded-Host: evil.example',
      'X-Forwarded-Proto: gopher',
      'X-Forwarded-Prefix: /evil',
      'X-Forwarded-For: evil.example',
      'Forwarded: host=evil.example;proto=gopher',
      'X-Original-URL: /evil',
      'X-Rewrite-URL: /evil',
    ].join('\r\n');
    const authorize = authorizeUrl().slice(issuer.length);
    const pages = [authorize, '/device', '/account', '/register', '/logout', '/interaction/any', '/userinfo'];
    const forms = ['/token', '/par', '/introspect', '/revoke', '/device/authorize', '/register', '/account'];
    const heads = [
      ...pages.map((path) => `GET ${path} HTTP/1.1\r\n${poison}`),
      ...forms.map((path) => `POST ${path} HTTP/1.1\r\n${poison}\r\nContent-Length: 0`),
      `POST /device/authorize HTTP/1.1\r\n${poison}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 31`,
    ];
    const port = Number(new URL(auth.url).port);
    for (const head of heads) {
      const body = head.endsWith('31') ? 'client_id=demo-cli&scope=openid' : '';
      const { status, text } = await rawRequest(port, `${head}\r\nConnection: close\r\n\r\n${body}`);
      const line = head.split('\r\n', 1)[0];
      assert.ok(status >= 200 && status < 500, `${line}: ${status}`);
      assert.doesNotMatch(text, /evil|gopher/, line);
      const [, location = issuer] = /^location: (\S+)/im.exec(text) ?? [];
      assert.equal(new URL(location, issuer).origin, issuer, line);
      if (body) assert.ok(text.includes(`"verification_uri":"${issuer}/device"`), text);
    }
  });

  test('A37 a request target that names a host is refused', async () => {
    for (const path of ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server']) {
      const head = `GET http://evil.example${path} HTTP/1.1\r\nHost: auth\r\nConnection: close\r\n\r\n`;
      const { status, text } = await rawRequest(Number(new URL(auth.url).port), head);
      assert.equal(status, 400);
      assert.match(text, /application\/problem\+json/);
      assert.match(text, /"requestId":"[\w-]{8,}"/);
      assert.doesNotMatch(text, /evil/);
    }
  });

  test('A38 the key set has public members alone, and names each key by its thumbprint', async () => {
    const { body, headers } = await auth.send('/.well-known/jwks.json');
    assert.match(headers.get('cache-control') ?? '', /max-age=60$/);
    assert.equal(body.keys.length, 1);
    const [key] = body.keys;
    assert.deepEqual(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    assert.equal(key.kid, await calculateJwkThumbprint(key));
    assert.equal(key.alg, 'ES256');
    assert.equal(key.use, 'sig');
  });

  test('an unknown path is a problem, and a wrong method names the right ones', async () => {
    const unknown = await auth.send('/nothing-here');
    assert.equal(unknown.status, 404);
    assert.match(unknown.headers.get('content-type') ?? '', /^application\/problem\+json/);
    for (const path of [
      '/__proto__',
      '/constructor',
      '/token/',
      '/TOKEN',
      '/iNteraction/any',
      '/interaction/any/',
      '/register/',
      '/device/',
      '/par/',
      '/request',
    ]) {
      assert.equal((await auth.send(path, { method: 'POST' })).status, 404, path);
    }
    assert.equal((await auth.send('/Health/live')).status, 404);
    const wrong = await auth.send('/revoke');
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers.get('allow'), 'POST, OPTIONS');
  });

  test('A41 every answer forbids framing, sniffing and caching, and names no product', async () => {
    for (const path of ['/nothing-here', '/authorize', '/token', '/logout', '/userinfo', '/health/live']) {
      const { headers } = await auth.send(path, { headers: { accept: 'text/html' } });
      assert.match(headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/, path);
      assert.equal(headers.get('x-frame-options'), 'DENY', path);
      assert.equal(headers.get('x-content-type-options'), 'nosniff', path);
      assert.equal(headers.get('cache-control'), 'no-store', path);
      assert.equal(headers.get('x-powered-by'), null, path);
    }
  });
});
