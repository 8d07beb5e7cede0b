import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createMemoryDenylist } from '@gatehouse/denylist';
import { createTestIssuer } from '@gatehouse/test-kit';
import { createAuthenticate, createKeySet, createMemoryProofIds } from '../src/index.ts';
import { assertInvalidToken } from '../testing/guarded.ts';
import { openApp, until } from './app.ts';

const soon = { refreshMs: 50 };

test('R10 keys that were known are served while the issuer is away, for half an hour too', async (t) => {
  const app = await openApp(t, { keys: soon });
  await app.keySet.load();
  app.issuer.jwks.answer = (res) => res.writeHead(503).end();
  await until(() => app.faults.length > 0);
  for (let i = 0; i < 3; i++) assert.equal((await app.get(await app.issuer.sign())).status, 200);
  assert.ok(app.keySet.current());
  const age = app.keySet.ageMs();
  await delay(100);
  const later = app.keySet.ageMs();
  assert.ok(later >= age + 90 && later < 10_000, 'nobody takes them for fresh');
  const halfAnHourLater = performance.now() + 1_800_000;
  t.mock.method(performance, 'now', () => halfAnHourLater);
  assert.equal((await app.get(await app.issuer.sign())).status, 200, 'however long it is');
});

test('R11 without any keys a token is 503 with Retry-After, never 401, and good once they come', async (t) => {
  const issuer = await createTestIssuer();
  issuer.jwks.answer = (res) => res.writeHead(500).end();
  const app = await openApp(t, {}, issuer);
  const token = await issuer.sign();
  for (let i = 0; i < 3; i++) {
    const response = await app.get(token);
    assert.equal(response.status, 503);
    assert.equal(response.headers.get('retry-after'), '1');
    assert.equal(response.headers.get('www-authenticate'), null);
  }
  assert.equal(app.keySet.current(), undefined);
  assert.equal(app.keySet.ageMs(), Number.POSITIVE_INFINITY);
  await assert.rejects(app.keySet.load());
  assert.equal((await fetch(app.url)).status, 401, 'no token is no trouble of the keys');

  issuer.jwks.answer = undefined;
  await until(() => app.keySet.current() !== undefined);
  assert.equal((await app.get(token)).status, 200);
});

test('R11 an outage is told once however long it lasts, and so is its end', async (t) => {
  const issuer = await createTestIssuer();
  const { jwks } = issuer;
  jwks.answer = (res) => res.writeHead(500).end();
  let recoveries = 0;
  const onRecovery = () => {
    recoveries += 1;
  };
  const app = await openApp(t, { keys: { ...soon, onRecovery } }, issuer);
  await until(() => jwks.fetches > 2);
  assert.equal(app.faults.length, 1);
  jwks.answer = undefined;
  await until(() => recoveries > 0);
  const fetches = jwks.fetches;
  await until(() => jwks.fetches > fetches + 2);
  assert.equal(recoveries, 1);
});

const badAnswers: Record<string, (res: ServerResponse, keys: string) => void> = {
  'an error': (res, keys) => res.writeHead(500).end(keys),
  'not found': (res, keys) => res.writeHead(404).end(keys),
  HTML: (res) => res.end('<!doctype html><p>Sign in to the network'),
  nothing: (res) => res.end(),
  null: (res) => res.end('null'),
  'an empty object': (res) => res.end('{}'),
  'no keys': (res) => res.end('{"keys":[]}'),
  'keys that are no list': (res) => res.end('{"keys":{"0":{}}}'),
  'odd keys': (res) => res.end('{"keys":[null,1,"a",[],{}]}'),
  '10 MB': (res, keys) => res.end(`${keys}${' '.repeat(10_000_000)}`),
  'one byte now and then': (res) => {
    const timer = setInterval(() => res.write(' '), 100);
    res.on('close', () => clearInterval(timer));
  },
  'no answer': () => {},
  'a hang-up': (res) => res.destroy(),
};

for (const [name, answer] of Object.entries(badAnswers)) {
  test(`R12 ${name} instead of keys: nobody waits long, and the keys known before stay`, async (t) => {
    const app = await openApp(t, { keys: soon });
    await app.keySet.load();
    const before = app.keySet.current();
    const token = await app.issuer.sign();
    app.issuer.rotate();
    const keys = JSON.stringify({ keys: app.issuer.jwks.keys });
    app.issuer.jwks.answer = (res) => answer(res, keys);
    await until(() => app.faults.length > 0, 5000);
    assert.equal(app.keySet.current(), before);
    assert.equal((await app.get(token)).status, 200);

    const fresh = createKeySet({ jwksUri: app.issuer.jwksUri });
    t.after(() => fresh.close());
    const deadline = AbortSignal.timeout(3000);
    await assert.rejects(fresh.load());
    assert.equal(deadline.aborted, false);
    assert.equal(fresh.current(), undefined);
  });
}

test('R12 a redirect is not followed, not even to good keys', async (t) => {
  const other = await createTestIssuer();
  const issuer = await createTestIssuer();
  t.after(() => Promise.all([other.close(), issuer.close()]));
  issuer.jwks.answer = (res) => res.writeHead(302, { location: other.jwksUri }).end();
  const keySet = createKeySet({ jwksUri: issuer.jwksUri });
  t.after(() => keySet.close());
  await assert.rejects(keySet.load());
  assert.equal(other.jwks.fetches, 0);
});

test('R13 a token of a key published a moment ago passes at once, though the keys were just fetched', async (t) => {
  const app = await openApp(t);
  assert.equal((await app.get(await app.issuer.sign())).status, 200);
  const old = await app.issuer.sign();
  app.issuer.rotate();
  const tokens = await Promise.all(Array.from({ length: 10 }, () => app.issuer.sign()));
  const answers = await Promise.all([...tokens, old].map((token) => app.get(token)));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  assert.equal(app.issuer.jwks.fetches, 2);
});

test('J30, R14 the tokens of a withdrawn key die with the next refresh, remembered or not', async (t) => {
  const app = await openApp(t, { keys: soon });
  const remembered = await app.issuer.sign();
  const unseen = await app.issuer.sign();
  assert.equal((await app.get(remembered)).status, 200);
  app.issuer.rotate();
  const current = await app.issuer.sign();
  assert.equal((await app.get(current)).status, 200);
  assert.equal((await app.get(remembered)).status, 200, 'published still');

  app.issuer.jwks.keys.shift();
  await until(() => app.keySet.current()?.keys.length === 1);
  assertInvalidToken(await app.get(remembered));
  assertInvalidToken(await app.get(unseen));
  assert.equal((await app.get(current)).status, 200);
});

test('J30 a token whose key is withdrawn while it is verified is good for nobody else, then or later', async (t) => {
  const issuer = await createTestIssuer();
  t.after(issuer.close);
  const keySet = createKeySet({ jwksUri: issuer.jwksUri });
  t.after(keySet.close);
  await keySet.load();
  let current = keySet.current();
  const denylist = createMemoryDenylist();
  t.after(denylist.close);
  await denylist.markComplete();
  const authenticate = createAuthenticate({
    issuer: issuer.issuer,
    audiences: [issuer.audience],
    keySet: { ...keySet, current: () => current, knows: () => current !== undefined },
    denylist,
    dpop: { origin: issuer.issuer, proofIds: createMemoryProofIds() },
  });
  const errorOf = (token: string) =>
    new Promise<unknown>((resolve) => {
      const headers = { authorization: `Bearer ${token}` };
      authenticate({ rawHeaders: [], headers, originalUrl: '/' } as never, {} as never, resolve);
    });
  const token = await issuer.sign();
  const first = errorOf(token);
  // Its verification has begun by then, and cannot be over before the event loop turns.
  for (let i = 0; i < 10; i++) await undefined;
  current = undefined;
  assert.notEqual(await errorOf(token), undefined, 'it does not join the first');
  assert.equal(await first, undefined);
  assert.notEqual(await errorOf(token), undefined);
});

test('a refresh that brings nothing new changes nothing', async (t) => {
  const app = await openApp(t, { keys: soon });
  await app.keySet.load();
  const before = app.keySet.current();
  const token = await app.issuer.sign();
  await app.get(token);
  const { fetches } = app.issuer.jwks;
  await until(() => app.issuer.jwks.fetches > fetches + 2);
  assert.equal(app.keySet.current(), before);
  await app.get(token);
  assert.deepEqual(app.verdicts, ['verified', 'remembered']);
});

test('J38 five hundred tokens of unknown keys are refused with one more fetch between them', async (t) => {
  const app = await openApp(t);
  await app.keySet.load();
  const tokens = await Promise.all(
    Array.from({ length: 500 }, (_, i) => app.issuer.sign({}, { kid: `unknown ${i}` })),
  );
  for (let i = 0; i < tokens.length; i += 50) {
    const answers = await Promise.all(tokens.slice(i, i + 50).map((token) => app.get(token)));
    for (const answer of answers) assertInvalidToken(answer);
  }
  assert.equal(app.issuer.jwks.fetches, 2);
});

test('an unknown key while the issuer is away is 503: it may be a good one', async (t) => {
  const app = await openApp(t);
  await app.keySet.load();
  app.issuer.rotate();
  app.issuer.jwks.answer = (res) => res.writeHead(500).end();
  for (let i = 0; i < 2; i++) assert.equal((await app.get(await app.issuer.sign())).status, 503);
  assert.equal((await app.get('a.b.c')).status, 401);
});

test('J27 unfit keys are reported and not used, the others are', async (t) => {
  const issuer = await createTestIssuer();
  const sound = issuer.jwks.keys[0] as Record<string, string>;
  const twin = await createTestIssuer();
  t.after(() => twin.close());
  const named = (kid: string, fields: Record<string, unknown>) => ({ ...sound, kid, ...fields });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { publicKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  issuer.jwks.keys.push(
    { ...privateKey.export({ format: 'jwk' }), kid: 'private', alg: 'ES256', use: 'sig' },
    { ...rsa.export({ format: 'jwk' }), kid: 'rsa', alg: 'RS256', use: 'sig' },
    { ...rsa.export({ format: 'jwk' }), e: 'AQ', kid: 'exponent 1', alg: 'RS256', use: 'sig' },
    { ...rsa.export({ format: 'jwk' }), kid: 'rsa by another name', alg: 'ES256', use: 'sig' },
    { kty: 'oct', k: 'c2VjcmV0', kid: 'oct', alg: 'HS256', use: 'sig' },
    named('encryption', { use: 'enc' }),
    named('no use', { use: undefined }),
    named('other algorithm', { alg: 'ES384' }),
    named('no algorithm', { alg: undefined }),
    named('other curve', { crv: 'P-384' }),
    named('off the curve', { y: sound.x }),
    named('no point', { x: '', y: '' }),
    named('', {}),
    named('twice', {}),
    { ...twin.jwks.keys[0], kid: 'twice' },
    { ...sound, kid: 7 },
    { ...sound, kid: undefined },
  );
  const app = await openApp(t, {}, issuer);
  await app.keySet.load();
  assert.deepEqual(app.keySet.current(), { keys: [sound] });
  assert.equal(app.faults.length, 1);
  assert.match(String(app.faults[0]), /17 published keys are not used/);
  assert.equal((await app.get(await issuer.sign())).status, 200);
  for (const kid of ['no use', 'no algorithm', 'twice', 'encryption']) {
    assertInvalidToken(await app.get(await issuer.sign({}, { kid })), kid);
  }
});

test('keys that are not used are told of when their number changes, and not at each fetch', async (t) => {
  const issuer = await createTestIssuer();
  issuer.jwks.keys.push({ kty: 'oct', kid: 'one' });
  const app = await openApp(t, { keys: soon }, issuer);
  const { jwks } = issuer;
  await until(() => jwks.fetches > 3);
  assert.deepEqual(app.faults.map(String), ['Error: 1 published keys are not used']);
  jwks.keys.push({ kty: 'oct', kid: 'other' });
  await until(() => app.faults.length > 1);
  const { fetches } = jwks;
  await until(() => jwks.fetches > fetches + 2);
  assert.equal(app.faults.length, 2);
});

test('a closed key set fetches no more and keeps what it knows', async (t) => {
  const issuer = await createTestIssuer();
  t.after(issuer.close);
  const keySet = createKeySet({ jwksUri: issuer.jwksUri, refreshMs: 20 });
  await keySet.load();
  keySet.close();
  await delay(50);
  const { fetches } = issuer.jwks;
  await delay(200);
  assert.equal(issuer.jwks.fetches, fetches);
  assert.ok(keySet.current());
});

test('many who wait for the first keys share one fetch', async (t) => {
  const issuer = await createTestIssuer();
  t.after(issuer.close);
  const keySet = createKeySet({ jwksUri: issuer.jwksUri });
  t.after(() => keySet.close());
  await Promise.all(Array.from({ length: 20 }, () => keySet.load()));
  assert.equal(issuer.jwks.fetches, 1);
});
