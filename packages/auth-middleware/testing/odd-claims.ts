import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertInvalidToken,
  assertRefused,
  epochSeconds,
  type OpenGuarded,
  partsOf,
  withClaims,
} from './guarded.ts';

/** What it says: J15 to J20, J29, J33, J35. */
export function testOddClaims(open: OpenGuarded): void {
  test('J15, J32 refuses every audience but exactly ours, alone or in a list of one', async (t) => {
    const app = await open(t);
    for (const aud of ['urn:gatehouse:api', ['urn:gatehouse:api']]) {
      assert.equal((await app.get(await app.issuer.sign({ aud }))).status, 200, JSON.stringify(aud));
    }
    const audiences = [
      'urn:gatehouse:orders',
      'urn:gatehouse:ap',
      'urn:gatehouse:apix',
      'URN:GATEHOUSE:API',
      'urn:gatehouse:api ',
      ['urn:gatehouse:orders', 'urn:gatehouse:api'],
      ['urn:gatehouse:api', 'urn:gatehouse:orders'],
      ['urn:gatehouse:api', 'urn:gatehouse:items'],
      [['urn:gatehouse:api']],
      'urn:gatehouse:api urn:gatehouse:orders',
      undefined,
      null,
      '',
      [],
      {},
      { 0: 'urn:gatehouse:api', length: 1 },
      1,
      true,
    ];
    await assertRefused(app, await withClaims(app.issuer, 'aud', audiences));
  });

  test('J16 refuses every issuer but ours to the letter', async (t) => {
    const app = await open(t);
    const issuers = [
      'http://localhost:8080/',
      'HTTP://localhost:8080',
      'http://LOCALHOST:8080',
      'https://localhost:8080',
      'http://localhost:8081',
      'http://localhost',
      'http://localhost:8080.evil.example',
      'http://1ocalhost:8080',
      'localhost:8080',
      ['http://localhost:8080'],
      undefined,
      null,
      '',
    ];
    await assertRefused(app, await withClaims(app.issuer, 'iss', issuers));
  });

  test('J17 refuses an exp that is missing, past or no number', async (t) => {
    const app = await open(t);
    const now = epochSeconds();
    assert.equal((await app.get(await app.issuer.sign({ exp: now - 2 }))).status, 200, 'within the leeway');
    await assertRefused(
      app,
      await withClaims(app.issuer, 'exp', [
        undefined,
        null,
        '9999999999',
        `${now + 60}`,
        -1,
        0,
        now - 7,
        [now + 60],
        {},
        true,
      ]),
    );
    const [header, payload] = await partsOf(app.issuer);
    const forever = payload.replace(/"exp":\d+/, '"exp":1e400');
    assert.notEqual(forever, payload);
    await assertRefused(app, { '1e400': app.issuer.signText(header, forever) });
    const expired = await app.get(await app.issuer.sign({ exp: now - 7 }));
    assertInvalidToken(expired);
    const { detail } = (await expired.json()) as { detail: string };
    assert.equal(detail, 'The access token has expired');
  });

  test('J18 refuses nbf and iat ahead of the leeway, and an iat that is no number', async (t) => {
    const app = await open(t);
    const now = epochSeconds();
    assert.equal(
      (await app.get(await app.issuer.sign({ nbf: now + 3, iat: now + 3 }))).status,
      200,
      'within the leeway',
    );
    await assertRefused(app, await withClaims(app.issuer, 'nbf', [now + 10, now + 3600, 'now', null]));
    await assertRefused(
      app,
      await withClaims(app.issuer, 'iat', [now + 10, now + 3600, undefined, null, `${now}`, [now]]),
    );
  });

  test('J19, J20 refuses a token without subject, client or id, or with odd ones', async (t) => {
    const app = await open(t);
    for (const claim of ['sub', 'client_id', 'jti']) {
      await assertRefused(
        app,
        await withClaims(app.issuer, claim, [undefined, null, '', 1, [], {}, ['a'], true]),
      );
    }
  });

  test('refuses scopes and roles that are no lists of names', async (t) => {
    const app = await open(t);
    for (const scope of ['', undefined]) {
      const { status } = await app.get(await app.issuer.sign({ scope }));
      assert.ok(status === 200 || status === 403, `a sound token without a scope is ${status}`);
    }
    await assertRefused(
      app,
      await withClaims(app.issuer, 'scope', [
        ' a',
        'a ',
        'a  b',
        'a\tb',
        'a"b',
        'a\u00e4',
        1,
        ['a'],
        {},
        null,
      ]),
    );
    await assertRefused(
      app,
      await withClaims(app.issuer, 'roles', ['admin', ['admin', 1], [['admin']], {}, null]),
    );
  });

  test('J29 what a claim inherits is no claim', async (t) => {
    const app = await open(t);
    const [header, payload] = await partsOf(app.issuer);
    const borrowed = payload.replace('{', '{"__proto__":{"sub":"admin"},').replace('"sub":"alice",', '');
    await assertRefused(app, { 'sub by way of __proto__': app.issuer.signText(header, borrowed) });
  });

  test('J33 refuses an actor that is not a name', async (t) => {
    const app = await open(t);
    await assertRefused(
      app,
      await withClaims(app.issuer, 'act', ['orders-service', {}, { sub: '' }, { sub: 1 }, [], null]),
    );
    await assertRefused(app, await withClaims(app.issuer, 'gid', ['', 1, [], {}, null]));
  });

  test('J35 refuses a token that is bound to what nobody here can verify', async (t) => {
    const app = await open(t);
    await assertRefused(
      app,
      await withClaims(app.issuer, 'cnf', [
        { jkt: 'abc' },
        { 'x5t#S256': 'abc' },
        { jkt: 'x'.repeat(43), 'x5t#S256': 'abc' },
        [{ jkt: 'x'.repeat(43) }],
        { jwk: {} },
        {},
        null,
        'x',
        false,
      ]),
    );
  });
}
