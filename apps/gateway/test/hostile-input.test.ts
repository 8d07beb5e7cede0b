import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMs, createProofKey, rawRequest } from '@gatehouse/test-kit';
import { publicHost, startTestGateway } from './start-gateway.ts';

// What takes a time that grows with the square of the length takes several times as long as this.
const mostMs = 100;
const length = 14_000;
const base64url = (text: string) => Buffer.from(text).toString('base64url');
/** As much of the repeated text as a request may be long, with an end that does not fit. */
const long = (text: string, end = '') => text.repeat(length / text.length) + end;

test('H32 long input that is made to be hard to read keeps the gateway busy for a moment only', async (t) => {
  const gateway = await startTestGateway(t, { env: { TRUSTED_PROXIES: '127.0.0.0/8' } });
  const key = await createProofKey();
  const bearer = await gateway.bearer();
  const bound = `DPoP ${await gateway.issuer.sign({ cnf: { jkt: key.thumbprint } })}`;
  const scope = await gateway.issuer.sign({ scope: `items:read ${'a '.repeat(3_000)}` });
  const signed = (header: string, payload = '{}') => `Bearer ${gateway.issuer.signText(header, payload)}`;
  const deep = `${'['.repeat(2_000)}${']'.repeat(2_000)}`;
  const requests: Record<string, { path?: string; headers: Record<string, string> }> = {
    'path of letters': { path: `/${long('a', '%00')}`, headers: {} },
    'path of segments': { path: `/${long('a/', ';')}`, headers: {} },
    'path of dots': { path: long('/..', ';'), headers: {} },
    'path of escapes': { path: `/${long('%41', '%ff')}`, headers: {} },
    'query of names': { path: `/items?${long('a[b]=c&', '"')}`, headers: {} },
    'query of tokens': { path: `/items?${long('&access_token', '=')}`, headers: {} },
    'token of dots': { headers: { authorization: `Bearer ${long('.')}` } },
    'token of one letter': { headers: { authorization: `Bearer ${long('A', '=')}` } },
    'token of spaces': { headers: { authorization: `Bearer ${long(' ', 'x')}` } },
    'scheme of letters': { headers: { authorization: long('bearer', '!') } },
    'token with a deep header': { headers: { authorization: signed(`{"alg":"ES256","crit":${deep}}`) } },
    'token with a deep payload': {
      headers: {
        authorization: signed(
          `{"alg":"ES256","typ":"at+jwt","kid":"${gateway.issuer.signingKey.kid}"}`,
          `{"a":${deep}}`,
        ),
      },
    },
    'key id of dots': {
      headers: { authorization: signed(`{"alg":"ES256","kid":"${'../'.repeat(2_000)}"}`) },
    },
    'scope of many': { headers: { authorization: `Bearer ${scope}` } },
    'proof of dots': { headers: { authorization: bound, dpop: long('.').slice(1_000) } },
    'proof with a deep header': {
      headers: { authorization: bound, dpop: `${base64url(`{"jwk":${deep.slice(0, 1_500)}`)}.e30.AA` },
    },
    'addresses of proxies': { headers: { authorization: bearer, 'x-forwarded-for': long('127.0.0.1,') } },
    'addresses of commas': { headers: { authorization: bearer, 'x-forwarded-for': long(',') } },
    forwarded: { headers: { authorization: bearer, forwarded: long('for="[::1]";', '"') } },
    connection: { headers: { authorization: bearer, connection: long('a, ') } },
    accept: { headers: { authorization: bearer, accept: long('a/b;q=0.1,', '/') } },
    'accept-encoding': { headers: { authorization: bearer, 'accept-encoding': long('gzip ;', 'q') } },
    'accept-language': { headers: { authorization: bearer, 'accept-language': long('a-', '*') } },
    'cookie of signs': { headers: { authorization: bearer, cookie: long('=;', '"') } },
    'cookie of spaces': { headers: { authorization: bearer, cookie: long('; ', 'a') } },
    'if-none-match': { headers: { authorization: bearer, 'if-none-match': long('W/"",', '"') } },
    'x-request-id': { headers: { authorization: bearer, 'x-request-id': long('a-', '!') } },
    traceparent: { headers: { authorization: bearer, traceparent: long('00-', '-') } },
    'user-agent': { headers: { authorization: bearer, 'user-agent': long('a ', '\t') } },
    host: { headers: { host: `${long('a.')}${publicHost}` } },
  };
  const lengthOf = ({ path = '', headers }: { path?: string; headers: Record<string, string> }) =>
    path.length + Object.values(headers).join('').length;
  for (const [name, request] of Object.entries(requests)) {
    const { path = '/items', headers } = request;
    assert.ok(lengthOf(request) < 16_000, `${name} is too long to get in`);
    let status = 0;
    const spent = await cpuMs(async () => {
      ({ status } = await gateway.send(path, { headers }));
    }, mostMs);
    assert.ok(spent < mostMs, `${name} took ${spent} ms`);
    assert.ok([200, 400, 401, 404].includes(status), `${name}: ${status}`);
  }
  for (const [name, line] of Object.entries({
    'headers in great number': 'a:\r\n',
    'headers that look forged': 'x-scope-user-scope-auth-role-: a\r\n',
  })) {
    const bytes = `GET /items HTTP/1.1\r\nHost: ${publicHost}\r\nConnection: close\r\n${long(line)}\r\n`;
    const spent = await cpuMs(() => rawRequest(gateway.port, bytes), mostMs);
    assert.ok(spent < mostMs, `${name} took ${spent} ms`);
  }
});
