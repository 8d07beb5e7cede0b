import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLocalJWKSet, createRemoteJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { createTestIssuer, listenApp, rawRequest } from '../src/index.ts';

test('a signed token verifies with jose against the published keys, before and after a rotation', async (t) => {
  const issuer = await createTestIssuer({ issuer: 'https://issuer.example', audience: 'urn:example' });
  t.after(issuer.close);
  const first = await issuer.sign({ sub: 'bob', scope: undefined });
  issuer.rotate();
  const second = await issuer.sign();
  const keys = createRemoteJWKSet(new URL(issuer.jwksUri));
  const expected = {
    issuer: 'https://issuer.example',
    audience: 'urn:example',
    typ: 'at+jwt',
    algorithms: ['ES256'],
  };
  const { payload, protectedHeader } = await jwtVerify(first, keys, expected);
  assert.equal(payload.sub, 'bob');
  assert.equal('scope' in payload, false);
  assert.notEqual((await jwtVerify(second, keys, expected)).protectedHeader.kid, protectedHeader.kid);
  assert.equal(issuer.jwks.fetches, 1);

  issuer.jwks.keys.shift();
  const current = createLocalJWKSet({ keys: issuer.jwks.keys } as unknown as JSONWebKeySet);
  await assert.rejects(jwtVerify(first, current, expected));
});

test('the published keys hold no private part', async (t) => {
  const issuer = await createTestIssuer();
  t.after(issuer.close);
  const { keys } = (await (await fetch(issuer.jwksUri)).json()) as { keys: object[] };
  assert.deepEqual(keys.flatMap(Object.keys).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
});

test('the endpoint answers whatever a test wants instead of keys', async (t) => {
  const issuer = await createTestIssuer();
  t.after(issuer.close);
  issuer.jwks.answer = (res) => res.writeHead(500).end();
  assert.equal((await fetch(issuer.jwksUri)).status, 500);
  issuer.jwks.answer = () => {};
  await assert.rejects(fetch(issuer.jwksUri, { signal: AbortSignal.timeout(100) }));
});

test('a raw request reports the status, and whether the server hung up', async (t) => {
  const app = await listenApp((req, res) => (req.url === '/hang' ? undefined : res.end('hello')));
  t.after(app.close);
  const polite = await rawRequest(app.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.equal(polite.status, 200);
  assert.equal(polite.closed, true);
  assert.match(polite.text, /hello/);
  const hanging = await rawRequest(app.port, 'GET /hang HTTP/1.1\r\nHost: a\r\n\r\n', { timeoutMs: 100 });
  assert.deepEqual(hanging, { status: 0, text: '', closed: false });
});
