import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createProofKey, rawRequest } from '@gatehouse/test-kit';
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createMemoryProofIds, ProofIdsUnavailable } from '../src/index.ts';
import { epochSeconds } from '../testing/guarded.ts';
import { openApp, type TestApp } from './app.ts';

/** An app, a token that is bound to a key, and a way to bring both. */
async function openBound(t: TestContext, options: Parameters<typeof openApp>[1] = {}) {
  const app = await openApp(t, options);
  const key = await createProofKey();
  const token = await app.issuer.sign({ cnf: { jkt: key.thumbprint } });
  const url = `${app.issuer.issuer}/`;
  const prove: Prove = (claims, header) => key.prove({ url, token }, claims, header);
  return { app, key, token, url, prove };
}

type Prove = (claims?: Record<string, unknown>, header?: Record<string, unknown>) => Promise<string>;

function call(app: TestApp, token: string, proof?: string, path = '/', method = 'GET'): Promise<Response> {
  const headers = { authorization: `DPoP ${token}`, ...(proof !== undefined && { dpop: proof }) };
  return fetch(`${app.url}${path}`, { method, headers });
}

const refusedProof =
  /^DPoP realm="api", error="invalid_dpop_proof", error_description="[^"]+", algs="ES256"$/;

function assertRefusedProof(response: Response, name = ''): void {
  assert.equal(response.status, 401, name);
  assert.match(response.headers.get('www-authenticate') ?? '', refusedProof, name);
  assert.equal(response.headers.get('cache-control'), 'no-store', name);
}

test('J34 a bound token with its proof tells who is calling and to which key the token is bound', async (t) => {
  const { app, key, token, prove } = await openBound(t);
  for (let i = 0; i < 2; i++) {
    const response = await call(app, token, await prove());
    assert.equal(response.status, 200);
    const caller = (await response.json()) as Record<string, unknown>;
    assert.deepEqual([caller.subject, caller.keyThumbprint], ['alice', key.thumbprint]);
  }
  assert.deepEqual(app.verdicts, ['proven', 'proven']);
});

test('J34 T06 the scheme is read in any case', async (t) => {
  const { app, token, prove } = await openBound(t);
  for (const scheme of ['DPoP', 'dpop', 'DPOP']) {
    const headers = { authorization: `${scheme} ${token}`, DPoP: await prove() };
    assert.equal((await fetch(app.url, { headers })).status, 200, scheme);
  }
});

test('J34 a proof in which one thing is wrong is refused as a proof, for new and for remembered tokens', async (t) => {
  const { app, key, token, url, prove } = await openBound(t);
  const other = await createProofKey();
  const now = epochSeconds();
  const usualHeader = { alg: 'ES256', typ: 'dpop+jwt', jwk: key.publicJwk };
  const [header, payload, signature] = (await prove()).split('.') as [string, string, string];
  const proofs: Record<string, string> = {
    'another method': await prove({ htm: 'POST' }),
    'the method in lower case': await prove({ htm: 'get' }),
    'no method': await prove({ htm: undefined }),
    'another path': await prove({ htu: `${url}items` }),
    'another host': await prove({ htu: 'http://localhost:8081/' }),
    'another scheme': await prove({ htu: 'https://localhost:8080/' }),
    'the address behind the gateway': await prove({ htu: `${app.url}/` }),
    'a user in the URL': await prove({ htu: 'http://a@localhost:8080/' }),
    'a relative URL': await prove({ htu: '/' }),
    'no URL': await prove({ htu: undefined }),
    'a list of URLs': await prove({ htu: [url] }),
    'another token': await key.prove({ url, token: `${token}x` }),
    'no token': await prove({ ath: undefined }),
    'the hash in hexadecimal': await prove({ ath: 'ab'.repeat(32) }),
    'too old': await prove({ iat: now - 67 }),
    'ahead of time': await prove({ iat: now + 60 }),
    'no time': await prove({ iat: undefined }),
    'a time in text': await prove({ iat: `${now}` }),
    expired: await prove({ exp: now - 10 }),
    'not yet valid': await prove({ nbf: now + 60 }),
    'no id': await prove({ jti: undefined }),
    'an empty id': await prove({ jti: '' }),
    'an id of 257 characters': await prove({ jti: 'x'.repeat(257) }),
    'an id that is a number': await prove({ jti: 1 }),
    'type JWT': await prove({}, { typ: 'JWT' }),
    'type at+jwt': await prove({}, { typ: 'at+jwt' }),
    'no type': await prove({}, { typ: undefined }),
    'no key': await prove({}, { jwk: undefined }),
    'a key id instead': await prove({}, { jwk: undefined, kid: app.issuer.signingKey.kid }),
    'a private key': await prove({}, { jwk: await exportJWK(key.privateKey) }),
    'another key': await other.prove({ url, token }),
    "another key's signature": await other.prove({ url, token }, {}, { jwk: key.publicJwk }),
    'a critical extension': await new SignJWT(decodeJwt(await prove()))
      .setProtectedHeader({ ...usualHeader, crit: ['x'], x: 1 })
      .sign(key.privateKey, { crit: { x: true } }),
    'more than 4 KiB': await prove({ padding: 'x'.repeat(4096) }),
    'no signature': `${header}.${payload}.`,
    'a signature of another proof': `${header}.${payload}.${(await prove()).split('.')[2]}`,
    'four parts': `${header}.${payload}.${signature}.${signature}`,
    'no proof at all': '',
    'the access token': token,
  };
  for (const [name, proof] of Object.entries(proofs)) {
    assertRefusedProof(await call(app, token, proof), name);
  }
  assertRefusedProof(await call(app, token), 'no header');
  assert.equal((await call(app, token, await prove())).status, 200);
  for (const [name, proof] of Object.entries(proofs)) {
    assertRefusedProof(await call(app, token, proof), `${name}, token remembered`);
  }
  assert.deepEqual(new Set(app.verdicts), new Set(['invalid_dpop_proof', 'proven']));
});

test('J34 proofs of every algorithm but ES256 are refused, by keys that tokens are bound to', async (t) => {
  const app = await openApp(t);
  const url = `${app.issuer.issuer}/`;
  for (const alg of ['RS256', 'PS256', 'ES384', 'EdDSA']) {
    const key = await createProofKey(alg);
    const token = await app.issuer.sign({ cnf: { jkt: key.thumbprint } });
    assertRefusedProof(await call(app, token, await key.prove({ url, token })), alg);
  }
  const bound = await openBound(t);
  const claims = decodeJwt(await bound.prove());
  const header = { typ: 'dpop+jwt', jwk: bound.key.publicJwk };
  const secret = new TextEncoder().encode(JSON.stringify(bound.key.publicJwk));
  const symmetric = new SignJWT(claims).setProtectedHeader({ ...header, alg: 'HS256' });
  const base64url = (part: unknown) => Buffer.from(JSON.stringify(part)).toString('base64url');
  for (const proof of [
    await symmetric.sign(secret),
    `${base64url({ ...header, alg: 'none' })}.${base64url(claims)}.`,
  ]) {
    assertRefusedProof(await call(bound.app, bound.token, proof));
  }
});

test('J34 a proof holds within 60 seconds and the leeway of the clocks', async (t) => {
  const { app, token, prove } = await openBound(t);
  for (const age of [60, 0, -3]) {
    assert.equal((await call(app, token, await prove({ iat: epochSeconds() - age }))).status, 200, `${age}`);
  }
});

test('J34 query and fragment do not count, and the URL may be spelled in any way that is the same', async (t) => {
  const { app, key, token, url } = await openBound(t);
  const spellings = [`${url}items`, `${url}items?b=c`, `${url}items#d`, 'HTTP://LOCALHOST:8080/a/../items'];
  for (const htu of spellings) {
    const proof = await key.prove({ url: htu, token });
    assert.equal((await call(app, token, proof, '/items?limit=1')).status, 200, htu);
  }
});

test('J34 the Host and the forwarded headers of a request do not change where its proof must be for', async (t) => {
  const { app, token, prove } = await openBound(t);
  const send = async (proof: string) => {
    const { status } = await rawRequest(
      app.port,
      `GET / HTTP/1.1\r\nHost: evil.example\r\nForwarded: host=evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nAuthorization: DPoP ${token}\r\nDPoP: ${proof}\r\nConnection: close\r\n\r\n`,
    );
    return status;
  };
  assert.equal(await send(await prove()), 200);
  assert.equal(await send(await prove({ htu: 'http://evil.example/' })), 401);
  assert.equal(await send(await prove({ htu: 'https://evil.example/' })), 401);
});

test('J34 a target in absolute form changes nothing either', async (t) => {
  const { app, token, prove } = await openBound(t);
  for (const target of ['http://evil.example/', '//evil.example/', '@evil.example/']) {
    const { status } = await rawRequest(
      app.port,
      `GET ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: DPoP ${token}\r\nDPoP: ${await prove({ htu: `http:${target.replace(/^http:/, '')}` })}\r\nConnection: close\r\n\r\n`,
    );
    assert.ok([400, 401].includes(status), `${target} ${status}`);
  }
});

test('J34 two DPoP headers are refused, whichever is good', async (t) => {
  const { app, token, prove } = await openBound(t);
  const send = (...proofs: string[]) =>
    rawRequest(
      app.port,
      `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: DPoP ${token}\r\n${proofs.map((proof) => `DPoP: ${proof}\r\n`).join('')}Connection: close\r\n\r\n`,
    );
  assert.equal((await send(await prove())).status, 200);
  const good = await prove();
  for (const proofs of [
    [good, 'x'],
    ['x', good],
    [good, ''],
    ['', good],
    [good, good],
    [good, await prove()],
    [`${good},`],
  ]) {
    const { status, text } = await send(...proofs);
    assert.equal(status, 401);
    assert.match(text, /error="invalid_dpop_proof"/);
  }
  assert.equal((await send(good)).status, 200, 'none of them has used it up');
});

test('J34 a proof is good once: not again, not in another spelling, not for two at the same time', async (t) => {
  const { app, key, token, url, prove } = await openBound(t);
  const proof = await prove({ jti: 'once' });
  assert.equal((await call(app, token, proof)).status, 200);
  assertRefusedProof(await call(app, token, proof));
  assertRefusedProof(await call(app, token, await prove({ jti: 'once' })), 'signed anew');
  const twenty = await prove();
  const answers = await Promise.all(Array.from({ length: 20 }, () => call(app, token, twenty)));
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  const other = await createProofKey();
  const otherToken = await app.issuer.sign({ cnf: { jkt: other.thumbprint } });
  const sameId = await other.prove({ url, token: otherToken }, { jti: 'once' });
  assert.equal((await call(app, otherToken, sameId)).status, 200, 'ids of one key say nothing about another');
  assert.equal((await call(app, token, await key.prove({ url, token }))).status, 200);
});

test('J34 a remembered id outlives its proof', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const { app, token, prove } = await openBound(t);
  const proof = await prove({ iat: epochSeconds() + 5 });
  assert.equal((await call(app, token, proof)).status, 200);
  for (let seconds = 0; seconds < 90; seconds += 5) {
    assertRefusedProof(await call(app, token, proof), `${seconds} s later`);
    t.mock.timers.tick(5000);
  }
});

test('J34 a refused proof or token uses up no id', async (t) => {
  const { app, key, token, url, prove } = await openBound(t);
  const proof = await prove();
  assertRefusedProof(await call(app, token, proof, '/items'));
  const revoked = await app.issuer.sign({ jti: 'gone', cnf: { jkt: key.thumbprint } });
  await app.denylist.append([{ jti: 'gone', exp: epochSeconds() + 300 }]);
  const answer = await call(app, revoked, await key.prove({ url, token: revoked }));
  assert.match(
    answer.headers.get('www-authenticate') ?? '',
    /^DPoP .*error="invalid_token".*has been revoked/,
  );
  assert.equal((await call(app, token, proof)).status, 200);
});

test('J34 when used proofs cannot be told from new ones, bound tokens are 503 and others pass', async (t) => {
  const proofIds = {
    add: () => Promise.reject(new ProofIdsUnavailable('away')),
  };
  const { app, token, prove } = await openBound(t, {
    dpop: { origin: 'http://localhost:8080', proofIds },
  });
  const answer = await call(app, token, await prove());
  assert.equal(answer.status, 503);
  assert.equal(answer.headers.get('retry-after'), '1');
  assert.equal(answer.headers.get('www-authenticate'), null);
  assert.equal((await app.get(await app.issuer.sign())).status, 200);
  assert.deepEqual(app.verdicts, ['unavailable', 'verified']);
});

test('J34 proof ids that fail in an unknown way let nobody through', async (t) => {
  const proofIds = { add: () => Promise.reject(new Error('unforeseen')) };
  const { app, token, prove } = await openBound(t, {
    dpop: { origin: 'http://localhost:8080', proofIds },
  });
  assert.equal((await call(app, token, await prove())).status, 500);
});

test('J35 a bound token is 401 as a bearer token, with its proof and without, also when it is remembered', async (t) => {
  const { app, token, prove } = await openBound(t);
  for (let i = 0; i < 2; i++) {
    for (const headers of [{}, { dpop: await prove() }]) {
      const authorization = `Bearer ${token}`;
      const response = await fetch(app.url, { headers: { authorization, ...headers } });
      assert.equal(response.status, 401);
      assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer .*error="invalid_token"/);
    }
    assert.equal((await call(app, token, await prove())).status, 200);
  }
});

test('J35 a token that is bound to no key is 401 under DPoP, also when it is remembered as a bearer token', async (t) => {
  const app = await openApp(t);
  const key = await createProofKey();
  const token = await app.issuer.sign();
  for (let i = 0; i < 2; i++) {
    const proof = await key.prove({ url: `${app.issuer.issuer}/`, token });
    const response = await call(app, token, proof);
    assert.equal(response.status, 401);
    assert.match(
      response.headers.get('www-authenticate') ?? '',
      /^DPoP .*error="invalid_token", .*algs="ES256"$/,
    );
    assert.equal((await app.get(token)).status, 200);
  }
});

test('a bound token that lacks a scope or a role is challenged by its own scheme', async (t) => {
  const { app, key, url } = await openBound(t);
  const token = await app.issuer.sign({ cnf: { jkt: key.thumbprint }, scope: '' });
  for (const path of ['items', 'admin']) {
    const response = await call(app, token, await key.prove({ url: url + path, token }), `/${path}`);
    assert.equal(response.status, 403);
    assert.match(response.headers.get('www-authenticate') ?? '', /^DPoP .*error="insufficient_scope"/);
  }
});

test('T12 J34 no refusal tells which part of a proof is at fault', async (t) => {
  const { app, token, prove } = await openBound(t);
  const { privateKey } = await generateKeyPair('ES256');
  const forged = await new SignJWT({}).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
  for (const proof of [await prove({ htm: 'PUT' }), await prove({ iat: 1 }), forged]) {
    const { detail } = (await (await call(app, token, proof)).json()) as { detail: string };
    assert.equal(detail, 'The DPoP proof is not valid for this request');
  }
});

test('J34 in memory, ids that can still be replayed are never forgotten: beyond the bound, new ones are refused', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const proofIds = createMemoryProofIds({ capacity: 2 });
  assert.equal(await proofIds.add('a'), true);
  now += 40_000;
  assert.equal(await proofIds.add('b'), true);
  await assert.rejects(proofIds.add('c'), ProofIdsUnavailable);
  assert.deepEqual([await proofIds.add('a'), await proofIds.add('b')], [false, false]);
  now += 40_000;
  assert.equal(await proofIds.add('c'), true, 'the first one has expired');
  assert.equal(await proofIds.add('b'), false);
});
