import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { rawRequest } from '@gatehouse/test-kit';
import { type Answer, assertProblem, assertRefusedToken, call } from '../http.ts';
import type { Item, Page } from '../shapes.ts';
import { signIn, tokenOf } from '../sign-in.ts';
import { gateway, guardedRoutes } from '../target.ts';

let token: string;
before(async () => {
  token = await tokenOf('bob', 'profile:read items:read items:write orders:read orders:write');
});

after(async () => {
  for (const url of Object.values(guardedRoutes)) {
    const { status } = await call(`${new URL(url).origin}/health/ready`);
    assert.equal(status, 200, 'a process did not survive the bad input');
  }
});

const hmacOf = (input: string, secret: string) =>
  `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

test('J01-J24 no malformed, altered or foreign token is accepted by any process', async () => {
  const [head = '', payload = '', signature = ''] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const header = JSON.parse(Buffer.from(head, 'base64url').toString());
  const { tokens } = await signIn('bob', 'openid offline_access profile:read');
  const withHeader = (fields: object) => `${base64url({ ...header, ...fields })}.${payload}.${signature}`;
  const malformed: Record<string, string> = {
    'no JWT': 'junk',
    'empty segments': '..',
    'two segments': `${head}.${payload}`,
    'four segments': `${token}.${signature}`,
    'five segments': `${token}.${signature}.${signature}`,
    'J01 alg none': `${base64url({ ...header, alg: 'none' })}.${payload}.`,
    'J01 alg nOnE, signature kept': withHeader({ alg: 'nOnE' }),
    'J02 alg HS256': withHeader({ alg: 'HS256' }),
    'J05 own jwk': withHeader({ jwk: { kty: 'oct', k: 'AA' } }),
    'J03 HMAC with an empty secret': hmacOf(`${base64url({ ...header, alg: 'HS256' })}.${payload}`, ''),
    'J03 HMAC with a weak secret': hmacOf(`${base64url({ ...header, alg: 'HS256' })}.${payload}`, 'secret'),
    'J04 alg RS256': withHeader({ alg: 'RS256' }),
    'J06 jku': withHeader({ jku: 'http://127.0.0.1:9/jwks' }),
    'J07 x5c': withHeader({ x5c: ['MIIB'] }),
    'J09 crit': withHeader({ crit: ['exp'], exp: 1 }),
    'J10 typ JWT': withHeader({ typ: 'JWT' }),
    'J12 encrypted': `${base64url({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' })}..AAAA.AAAA.AAAA`,
    'J14 as JSON': JSON.stringify({ protected: head, payload, signature }),
    'J08 kid with a path': withHeader({ kid: '../../dev/null' }),
    'J08 kid __proto__': withHeader({ kid: '__proto__' }),
    'altered claims': `${head}.${base64url({ ...claims, roles: ['admin'] })}.${signature}`,
    'later exp': `${head}.${base64url({ ...claims, exp: claims.exp + 3600 })}.${signature}`,
    'payload is no JSON': `${head}.AAAA.${signature}`,
    'J26 zero signature': `${head}.${payload}.${'A'.repeat(86)}`,
    'no signature': `${head}.${payload}.`,
    'T10 long': 'a'.repeat(8_000),
    'J11 ID token': tokens.id_token ?? '',
    'J11 refresh token': tokens.refresh_token ?? '',
  };
  for (const url of Object.values(guardedRoutes)) {
    for (const [name, bad] of Object.entries(malformed)) {
      const answer = await call(url, { token: bad });
      assert.equal(answer.status, 401, `${name} at ${url}`);
      assertRefusedToken(answer);
    }
  }
});

test('T01-T09 a token counts in the Authorization header alone, given once', async () => {
  const elsewhere: [string, Parameters<typeof call>[1]][] = [
    [`/items?access_token=${token}`, {}],
    ['/items', { form: { access_token: token } }],
    ['/items', { headers: { cookie: `access_token=${token}` } }],
    ['/items', { headers: { 'x-access-token': token } }],
    ['/items', { headers: { 'x-forwarded-authorization': `Bearer ${token}` } }],
    ...[
      '',
      'Bearer',
      `Basic ${token}`,
      `Token ${token}`,
      `Bearer  ${token}`,
      `Bearer ${token}, Bearer x`,
      token,
    ].map((authorization): [string, Parameters<typeof call>[1]] => [
      '/items',
      { headers: { authorization } },
    ]),
  ];
  for (const [path, options] of elsewhere) {
    const answer = await call(`${gateway}${path}`, options);
    assert.ok([400, 401].includes(answer.status), `${JSON.stringify(options)}: ${answer.status}`);
    assertProblem(answer, answer.status);
  }
  const { status } = await call(`${gateway}/items`, { headers: { authorization: `bEaReR ${token}` } });
  assert.equal(status, 200);
});

test('T04 H04 H15 H25 what node:http would quietly mend is 400, and what is too long 431', {
  skip: isLoopback(),
}, async () => {
  const { host, port, protocol } = new URL(gateway);
  const tls = protocol === 'https:';
  const heads = [
    `GET /items HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\nAuthorization: Bearer x\r\n`,
    `GET /items HTTP/1.1\r\nHost: ${host}\r\nHost: evil.example\r\nAuthorization: Bearer ${token}\r\n`,
    `GET /items HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer ${token}\r\n`,
    `POST /items HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n`,
    `POST /items HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n`,
    `GET http://evil.example/items HTTP/1.1\r\nHost: evil.example\r\n`,
    `GET /items HTTP/1.1\r\nHost : ${host}\r\n`,
  ];
  for (const head of heads) {
    const { status } = await rawRequest(Number(port), `${head}Connection: close\r\n\r\n`, { tls });
    assert.equal(status, 400, head);
  }
  const long = await rawRequest(
    Number(port),
    `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    { tls },
  );
  assert.equal(long.status, 431);
});

test('H10 H11 a path that two servers could read differently is 400, with and without a token', {
  skip: isLoopback(),
}, async () => {
  const { host, port, protocol } = new URL(gateway);
  const tls = protocol === 'https:';
  const paths = [
    '/items/../users/me',
    '/items/..%2fusers',
    '/items/%2e%2e/users/me',
    '/items/%252e%252e/users/me',
    '/items%2f..',
    '/items/\\users',
    '/items/%5cusers',
    '/items/%00',
    '/items/%c0%ae',
    '/items/%zz',
    '/items;x=1',
    '//items',
    '/items//1',
  ];
  for (const path of paths) {
    for (const credentials of [`Authorization: Bearer ${token}\r\n`, '']) {
      const head = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${credentials}Connection: close\r\n\r\n`;
      const { status } = await rawRequest(Number(port), head, { tls });
      assert.equal(status, 400, path);
    }
  }
});

test('ids and queries that do not fit are 4xx problems', async () => {
  const paths = [
    '/items/1',
    '/items/not-a-uuid',
    '/orders/__proto__',
    `/items/${'x'.repeat(4000)}`,
    '/items?limit=0',
    '/items?limit=-1',
    '/items?limit=1e9',
    '/items?limit=many',
    '/items?cursor=junk',
    `/items?cursor=${base64url({ a: 1 })}`,
    '/items?q=%00',
    `/items?q=${'x'.repeat(2000)}`,
    '/items?offset=1',
    '/items?q=1&q=2',
    '/items?q[$ne]=1',
    '/items?__proto__[x]=1',
    '/orders?sort=price',
    '/users/me?fields=password',
  ];
  for (const path of paths) {
    const answer = await call(`${gateway}${path}`, { token });
    assert.ok([400, 404, 414, 422].includes(answer.status), `${path}: ${answer.status} ${answer.text}`);
    assertProblem(answer, answer.status);
  }
});

test('H29 H33 bodies that are no good JSON of the right type are refused, and add nothing', async () => {
  const json = { 'content-type': 'application/json' };
  const good = JSON.stringify({ name: 'Never added', priceCents: 1, stock: 1 });
  const bodies: [number, string | Uint8Array<ArrayBuffer>, Record<string, string>][] = [
    [400, '{', json],
    [400, '{"name":"x",}', json],
    [400, '{"name":NaN}', json],
    [400, 'null,', json],
    [400, '\ufffe{}', json],
    [422, '', json],
    [422, '[]', json],
    [422, '{}', json],
    [422, '{"name":"x","priceCents":"1","stock":1}', json],
    [422, '{"name":"","priceCents":1,"stock":1}', json],
    [422, '{"name":"a\\u0000b","priceCents":1,"stock":1}', json],
    [422, '{"name":"\\ud800","priceCents":1,"stock":1}', json],
    [422, '{"name":"x","priceCents":1e309,"stock":1}', json],
    [422, '{"name":"x","priceCents":-1,"stock":1}', json],
    [422, '{"name":"x","priceCents":0.5,"stock":1}', json],
    [422, '{"name":"x","priceCents":1,"stock":1,"__proto__":{"ownerId":"x"}}', json],
    [422, '{"name":"x","priceCents":1,"stock":1,"constructor":{"prototype":1}}', json],
    [422, `{"name":${'['.repeat(5000)}${']'.repeat(5000)}}`, json],
    [413, JSON.stringify({ name: 'x'.repeat(100_000), priceCents: 1, stock: 1 }), json],
    [415, good, { 'content-type': 'text/plain' }],
    [415, good, { 'content-type': 'application/x-www-form-urlencoded' }],
    [415, good, { 'content-type': '' }],
    [415, good, { 'content-type': 'application/json; charset=utf-7' }],
    [415, new Uint8Array(gzipSync(good)), { ...json, 'content-encoding': 'gzip' }],
    [415, good, { ...json, 'content-encoding': 'br' }],
  ];
  for (const [status, body, headers] of bodies) {
    const answer = await call(`${gateway}/items`, { method: 'POST', token, body, headers });
    assert.ok(
      answer.status === status || (status === 422 && answer.status === 400),
      `${String(body).slice(0, 60)} ${JSON.stringify(headers)}: ${answer.status} instead of ${status}`,
    );
    assertProblem(answer, answer.status);
  }
  const { body } = await call<Page<Item>>(`${gateway}/items?q=Never%20added`, { token });
  assert.deepEqual(body.items, []);
});

test('A14 A16 A35 forms that are no token request get an OAuth error, and never a token', async () => {
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const password = 'grant_type=password&client_id=demo-first-party&scope=profile:read';
  const bodies: [string, Record<string, string>][] = [
    ['', form],
    ['grant_type=', form],
    ['grant_type=implicit&client_id=demo-cli', form],
    ['grant_type=__proto__&client_id=demo-cli', form],
    [password, form],
    [`${password}&username=alice`, form],
    [`${password}&username=alice&username=bob&password=x`, form],
    [`${password}&username[$ne]=x&password[$ne]=x`, form],
    [`${password}&username=%00&password=%00`, form],
    [`${password}&username=${'x'.repeat(20_000)}&password=x`, form],
    [`${password}&username=alice&password=${'x'.repeat(20_000)}`, form],
    [`${password}&username=%ff%fe&password=%ff`, form],
    ['grant_type=authorization_code&client_id=demo-cli&code=AccessToken:x', form],
    ['grant_type=refresh_token&client_id=demo-cli&refresh_token=%0d%0aX: y', form],
    ['{"grant_type":"password"}', { 'content-type': 'application/json' }],
    [`${password}&username=johndoe&password=secret`, { 'content-type': 'text/plain' }],
    ['x'.repeat(200_000), form],
  ];
  for (const [body, headers] of bodies) {
    const answer = await call<Record<string, unknown>>(`${gateway}/token`, { method: 'POST', body, headers });
    assertOauthError(answer, body.slice(0, 80));
  }
  assert.equal((await call(`${gateway}/token?grant_type=client_credentials`)).status, 405);
});

test('sign-in and sign-out forms that nobody was given are refused', async () => {
  const form = { username: 'alice', password: 'guess', csrf: 'x' };
  const posts: [string, Record<string, string>][] = [
    ['/interaction/unknown', form],
    ['/interaction/unknown/confirm', form],
    ['/interaction/__proto__', form],
    ['/logout/confirm', { logout: 'yes' }],
    ['/introspect', { token: 'x' }],
    ['/revoke', { token: 'x' }],
  ];
  for (const [path, fields] of posts) {
    const { status } = await call(`${gateway}${path}`, { form: fields });
    assert.ok(status >= 400 && status < 500, `${path}: ${status}`);
  }
  // As from a second window: it ends nothing, and leads to the page that says that nobody is signed in.
  const late = await call(`${gateway}/logout/confirm`, { form: { logout: 'yes', xsrf: 'x' } });
  assert.deepEqual([late.status, late.headers.get('location')], [303, `${gateway}/logout/success`]);
  for (const path of [
    '/authorize',
    '/authorize?client_id=demo-web',
    '/authorize/unknown',
    '/logout?id_token_hint=x',
  ]) {
    const { status } = await call(`${gateway}${path}`);
    assert.ok(status >= 400 && status < 500, `${path}: ${status}`);
  }
});

function assertOauthError({ status, body, text }: Answer<Record<string, unknown>>, sent: string): void {
  assert.ok(status >= 400 && status < 500, `${sent}: ${status} ${text}`);
  const { error, title } = body ?? {};
  assert.ok(typeof error === 'string' || typeof title === 'string', `${sent}: ${text}`);
  assert.equal(body.access_token, undefined);
}

function isLoopback(): string | false {
  return /^https?:\/\/(localhost|127\.0\.0\.1):\d+$/.test(gateway) ? false : 'needs a gateway on loopback';
}
