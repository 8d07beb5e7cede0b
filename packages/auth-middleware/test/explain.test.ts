import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksIn, createProofKey, listenApp } from '@gatehouse/test-kit';
import express from 'express';
import { decodeJwt } from 'jose';
import { explain, noteCheck, ProofIdsUnavailable } from '../src/index.ts';
import { epochSeconds } from '../testing/guarded.ts';
import { openApp } from './app.ts';

const explained = { explained: true };

function checksOf(response: Response): string[] {
  return checksIn(response.headers.get('server-timing'));
}

test('an answer tells what each check decided, in their order, and all of it is well-formed', async (t) => {
  const app = await openApp(t, explained);
  const token = await app.issuer.sign();
  const walk = ['test.denylist: live', 'test.scope: items:read ok', 'test.total'];
  assert.deepEqual(checksOf(await app.get(token, '/items')), ['test.authn: verified', ...walk]);
  assert.deepEqual(checksOf(await app.get(token, '/items')), ['test.authn: remembered', ...walk]);
  const admin = await app.issuer.sign({ roles: ['admin'] });
  assert.deepEqual(checksOf(await app.get(admin, '/admin')).slice(2, -1), ['test.role: ok']);
});

test('each check tells the time since the one before, so that together they take no longer than the whole', async (t) => {
  const app = await openApp(t, explained);
  const timing = (await app.get(await app.issuer.sign(), '/items')).headers.get('server-timing') ?? '';
  const [whole = 0, ...checks] = [...timing.matchAll(/dur=([\d.]+)/g)].map(([, ms]) => Number(ms)).reverse();
  assert.equal(checks.length, 3);
  const sum = checks.reduce((total, ms) => total + ms, 0);
  assert.ok(sum <= whole + 0.002, timing);
});

test('a refusal tells of the checks up to the one that refused', async (t) => {
  const app = await openApp(t, explained);
  const passed = ['test.authn: verified', 'test.denylist: live'];
  const expectChecks = async (response: Response, status: number, ...checks: string[]) => {
    assert.equal(response.status, status);
    assert.deepEqual(checksOf(response), [...checks, 'test.total']);
  };

  await expectChecks(await fetch(app.url), 401, 'test.authn: no_credentials');
  const inQuery = await app.get(await app.issuer.sign(), '/?access_token=x');
  await expectChecks(inQuery, 400, 'test.authn: invalid_request');
  await expectChecks(await app.get('x'), 401, 'test.authn: invalid_token');
  const expired = await app.issuer.sign({ exp: epochSeconds() - 60 });
  await expectChecks(await app.get(expired), 401, 'test.authn: invalid_token');

  const revoked = await app.issuer.sign({ jti: 'gone' });
  await app.denylist.append([{ jti: 'gone', exp: epochSeconds() + 300 }]);
  await expectChecks(await app.get(revoked), 401, 'test.authn: verified', 'test.denylist: revoked');

  const other = await app.issuer.sign({ scope: 'orders:read' });
  await expectChecks(await app.get(other, '/items'), 403, ...passed, 'test.scope: items:read missing');
  const customer = await app.issuer.sign({ roles: ['customer'] });
  await expectChecks(await app.get(customer, '/admin'), 403, ...passed, 'test.role: missing');
});

test('what is out of reach is told by the check that needs it', async (t) => {
  const withoutDenylist = await openApp(t, { ...explained, complete: false });
  const first = await withoutDenylist.get(await withoutDenylist.issuer.sign());
  assert.equal(first.status, 503);
  assert.deepEqual(checksOf(first), ['test.authn: verified', 'test.denylist: unavailable', 'test.total']);

  const withoutKeys = await openApp(t, explained);
  withoutKeys.issuer.jwks.answer = (res) => res.writeHead(500).end();
  const second = await withoutKeys.get(await withoutKeys.issuer.sign());
  assert.equal(second.status, 503);
  assert.deepEqual(checksOf(second), ['test.authn: unavailable', 'test.total']);
});

test('J34 of a bound token the proof is told of too', async (t) => {
  const app = await openApp(t, explained);
  const key = await createProofKey();
  const token = await app.issuer.sign({ cnf: { jkt: key.thumbprint } });
  const call = (dpop: string) => fetch(app.url, { headers: { authorization: `DPoP ${token}`, dpop } });
  const told = async (dpop: string) => checksOf(await call(dpop)).slice(0, -1);
  const proof = await key.prove({ url: `${app.issuer.issuer}/`, token });
  const known = ['test.authn: remembered', 'test.denylist: live'];
  assert.deepEqual(await told(proof), ['test.authn: verified', known[1], 'test.proof: proven']);
  assert.deepEqual(await told(proof), [...known, 'test.proof: replayed']);
  assert.deepEqual(await told('x'), [...known, 'test.proof: invalid_dpop_proof']);
});

test('J34 proof ids that are out of reach are told of', async (t) => {
  const proofIds = { add: () => Promise.reject(new ProofIdsUnavailable('away')) };
  const app = await openApp(t, { ...explained, dpop: { origin: 'http://localhost:8080', proofIds } });
  const key = await createProofKey();
  const token = await app.issuer.sign({ cnf: { jkt: key.thumbprint } });
  const dpop = await key.prove({ url: `${app.issuer.issuer}/`, token });
  const response = await fetch(app.url, { headers: { authorization: `DPoP ${token}`, dpop } });
  assert.equal(checksOf(response)[2], 'test.proof: unavailable');
});

test('no claim of the token is told, whatever was decided', async (t) => {
  const app = await openApp(t, explained);
  const claims = {
    sub: 'subject-of-the-token',
    client_id: 'client-of-the-token',
    gid: 'grant-of-the-token',
    jti: 'id-of-the-token',
    roles: ['role-of-the-caller'],
    scope: 'scope:of:the:caller items:read',
    email: 'caller@example.com',
  };
  const token = await app.issuer.sign(claims);
  const ask = async () =>
    Promise.all(['/', '/items', '/admin'].map(async (path) => (await app.get(token, path)).headers));
  const headers = await ask();
  await app.denylist.append([{ jti: claims.jti, exp: epochSeconds() + 300 }]);
  headers.push(...(await ask()));
  const parts = token.split('.');
  for (const header of headers) {
    const told = header.get('server-timing') ?? assert.fail('nothing is told');
    for (const part of parts) assert.ok(!told.includes(part), told);
    for (const [name, claim] of Object.entries(decodeJwt(token))) {
      if (name === 'scope') continue;
      for (const value of [claim].flat()) assert.ok(!told.includes(String(value)), `${name} in ${told}`);
    }
    assert.ok(!told.includes('scope:of:the:caller'), told);
  }
});

test('where nothing is explained no answer tells anything, and no request changes that', async (t) => {
  const app = await openApp(t);
  const headers = { explain: 'true', 'server-timing': 'x;dur=1' };
  const answers = [
    await app.get(await app.issuer.sign(), '/items'),
    await app.get(await app.issuer.sign({ scope: '' }), '/items'),
    await fetch(`${app.url}/?explain=true`, { headers }),
  ];
  assert.deepEqual(
    answers.map((answer) => [answer.status, answer.headers.get('server-timing')]),
    [
      [200, null],
      [403, null],
      [401, null],
    ],
  );
});

test('what is noted once the answer has begun changes nothing in it', async (t) => {
  const app = express().use(explain('test'), (req, res) => {
    noteCheck(req, 'first', 'ok');
    res.flushHeaders();
    noteCheck(req, 'late', 'ok');
    res.end('whole');
  });
  const server = await listenApp(app);
  t.after(() => server.close());
  const response = await fetch(server.url);
  assert.deepEqual(checksOf(response), ['test.first: ok', 'test.total']);
  assert.equal(await response.text(), 'whole');
});
