import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBrowser } from '@gatehouse/test-kit';
import { clientCredentialsGrant } from 'openid-client';
import { client } from '../clients.ts';
import { call } from '../http.ts';
import { gateway } from '../target.ts';

interface Metadata extends Record<string, unknown> {
  issuer: string;
  jwks_uri: string;
  response_types_supported: string[];
  grant_types_supported: string[];
  code_challenge_methods_supported: string[];
  scopes_supported: string[];
}

const address = `${gateway}/.well-known/openid-configuration`;

test('both discovery documents agree, name the issuer exactly, and every endpoint is behind it', async () => {
  const { status, body } = await call<Metadata>(address);
  const other = await call<Metadata>(`${gateway}/.well-known/oauth-authorization-server`);
  assert.equal(status, 200);
  assert.deepEqual(other.body, body);
  assert.equal(body.issuer, gateway);
  const endpoints = Object.entries(body).filter(
    ([name]) => name.endsWith('_endpoint') || name === 'jwks_uri',
  );
  assert.ok(endpoints.length >= 7);
  for (const [name, url] of endpoints) assert.ok(String(url).startsWith(`${gateway}/`), `${name}: ${url}`);
});

test('A04 A05 the metadata offers the code flow with S256 alone, and no implicit or hybrid one', async () => {
  const { body } = await call<Metadata>(address);
  assert.deepEqual(body.response_types_supported, ['code']);
  assert.deepEqual(body.code_challenge_methods_supported, ['S256']);
  assert.ok(!body.grant_types_supported.includes('implicit'));
  assert.ok(body.grant_types_supported.includes('authorization_code'));
});

test('A37 no Host or forwarded header changes a word of the metadata', async () => {
  const { text: honest } = await call(address);
  const forgeries: Record<string, string>[] = [
    { 'x-forwarded-host': 'evil.example' },
    { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https', 'x-forwarded-port': '444' },
    { forwarded: 'host=evil.example;proto=https' },
    { 'x-original-url': '/evil', 'x-forwarded-prefix': '/evil' },
  ];
  for (const headers of forgeries) {
    const { status, text } = await call(address, { headers });
    assert.equal(status, 200);
    assert.equal(text, honest, JSON.stringify(headers));
  }
  const foreignHost = await createBrowser().open(address, { headers: { host: 'evil.example' } });
  assert.equal(foreignHost.status, 400);
  assert.ok(!foreignHost.text.includes('evil.example'));
});

test('A38 the key set has public keys alone, each with an id of its own, ES256, for signatures', async () => {
  const { body: metadata } = await call<Metadata>(address);
  const { status, headers, body } = await call<{ keys: Record<string, string>[] }>(metadata.jwks_uri);
  assert.equal(status, 200);
  assert.match(headers.get('cache-control') ?? '', /max-age=\d+/);
  assert.ok(body.keys.length > 0);
  for (const key of body.keys) {
    assert.equal(key.kty, 'EC');
    assert.equal(key.alg, 'ES256');
    assert.equal(key.use, 'sig');
    assert.equal(key.d, undefined);
  }
  assert.equal(new Set(body.keys.map(({ kid }) => kid)).size, body.keys.length);
});

test('A39 a refused client learns where tokens come from', async () => {
  const { headers } = await call(`${gateway}/users/me`);
  const [, address = ''] = /resource_metadata="([^"]+)"/.exec(headers.get('www-authenticate') ?? '') ?? [];
  assert.ok(address.startsWith(`${gateway}/`), headers.get('www-authenticate') ?? 'no challenge');
  const { body } = await call<{ resource: string; authorization_servers: string[] }>(address);
  assert.equal(body.resource, gateway);
  assert.deepEqual(body.authorization_servers, [gateway]);
  // RFC 8707: and asks there for what it has been told.
  const asked = { scope: 'items:read', resource: body.resource };
  const { access_token } = await clientCredentialsGrant(await client('demo-reporting'), asked);
  assert.equal((await call(`${gateway}/items`, { token: access_token })).status, 200);
});
