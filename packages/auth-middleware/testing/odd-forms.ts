import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { CompactEncrypt } from 'jose';
import {
  assertInvalidToken,
  assertRefused,
  encode,
  epochSeconds,
  type OpenGuarded,
  partsOf,
  withHeaders,
} from './guarded.ts';

/** What kind of token it is, and how it is written: J10 to J14, J22 to J25, T12. */
export function testOddForms(open: OpenGuarded): void {
  test('J10 refuses every typ but the spellings of at+jwt', async (t) => {
    const app = await open(t);
    for (const typ of ['at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/AT+JWT']) {
      assert.equal((await app.get(await app.issuer.sign({}, { typ }))).status, 200, typ);
    }
    const types = [
      'JWT',
      undefined,
      null,
      '',
      'logout+jwt',
      'dpop+jwt',
      'id+jwt',
      'at',
      ['at+jwt'],
      'x/at+jwt',
      'at+jwt ',
    ];
    await assertRefused(
      app,
      await withHeaders(
        app.issuer,
        types.map((typ) => ({ typ })),
      ),
    );
  });

  test('J11 refuses what is no access token: ID token, logout token, client assertion, opaque values', async (t) => {
    const app = await open(t);
    const { issuer } = app;
    await assertRefused(app, {
      'ID token': await issuer.sign(
        { aud: 'demo-web', nonce: 'n', client_id: undefined, jti: undefined },
        { typ: 'JWT' },
      ),
      'ID token for our audience': await issuer.sign({ nonce: 'n', client_id: undefined, jti: undefined }),
      'logout token': await issuer.sign({ aud: 'demo-web', events: {} }, { typ: 'logout+jwt' }),
      'client assertion': await issuer.sign(
        { iss: 'demo-web', sub: 'demo-web', aud: issuer.issuer },
        { typ: 'JWT' },
      ),
      'opaque refresh token': randomBytes(32).toString('base64url'),
      code: randomBytes(43).toString('base64url'),
    });
  });

  test('J12, J13 refuses encrypted tokens without trying to open them', async (t) => {
    const app = await open(t);
    const plain = new TextEncoder().encode(await app.issuer.sign());
    const key = randomBytes(32);
    const jwe = (header: object) => `${encode(header)}.a.b.c.d`;
    /** Five megabytes for whoever opens it, and short enough for a header. */
    const bomb = () => {
      const header = encode({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' });
      const iv = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(header));
      const text = Buffer.concat([cipher.update(deflateRawSync(Buffer.alloc(5_000_000))), cipher.final()]);
      return [header, '', ...[iv, text, cipher.getAuthTag()].map((part) => part.toString('base64url'))].join(
        '.',
      );
    };
    await assertRefused(app, {
      dir: await new CompactEncrypt(plain).setProtectedHeader({ alg: 'dir', enc: 'A256GCM' }).encrypt(key),
      'PBES2 with 2^31 rounds': jwe({ alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', p2c: 2 ** 31, p2s: 'AAAA' }),
      compressed: jwe({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' }),
      'a bomb': bomb(),
    });
  });

  test('J14 refuses the JSON serializations', async (t) => {
    const app = await open(t);
    const [header, payload, signature] = (await app.issuer.sign()).split('.');
    await assertRefused(app, {
      flattened: JSON.stringify({ protected: header, payload, signature }),
      general: JSON.stringify({ payload, signatures: [{ protected: header, signature }] }),
    });
  });

  test('J22 of an algorithm given twice the last one counts', async (t) => {
    const app = await open(t);
    const [header, payload] = await partsOf(app.issuer);
    const algTwice = header
      .replace('{', '{"alg":"ES256",')
      .replace(/"alg":"ES256"(?=,"typ")/, '"alg":"none"');
    await assertRefused(app, { 'alg twice, none last': app.issuer.signText(algTwice, payload) });
  });

  test('J23 refuses payloads and headers that are not plain UTF-8 JSON objects', async (t) => {
    const app = await open(t);
    const [header, payload] = await partsOf(app.issuer);
    const { signText } = app.issuer;
    const badUtf8 = Buffer.from(payload.replace('alice', 'ali\u00ff\u00ffe'), 'latin1');
    const deep = payload.replace('{', `{"deep":${'['.repeat(2500)}${']'.repeat(2500)},`);
    assert.equal((await app.get(signText(header, deep))).status, 200, 'depth alone does no harm');
    await assertRefused(app, {
      'byte order mark': signText(header, `\ufeff${payload}`),
      'byte order mark in the header': signText(`\ufeff${header}`, payload),
      'bad UTF-8': signText(header, badUtf8),
      array: signText(header, `[${payload}]`),
      string: signText(header, JSON.stringify(payload)),
      null: signText(header, 'null'),
      truncated: signText(header, payload.slice(0, -1)),
      'trailing text': signText(header, `${payload}x`),
      'header array': signText(`[${header}]`, payload),
      'header null': signText('null', payload),
      'header string': signText('"ES256"', payload),
      'a deep array': signText(header, `${'['.repeat(2500)}${']'.repeat(2500)}`),
      'ten thousand levels': signText(header, payload.replace('{', `{"deep":${'['.repeat(10_000)}`)),
      'a deep header': signText(
        header.replace('{', `{"deep":${'['.repeat(2500)}${']'.repeat(2500)},`),
        payload,
      ),
    });
  });

  test('J24 refuses any number of segments but three, and empty ones', async (t) => {
    const app = await open(t);
    const token = await app.issuer.sign();
    const [header, payload, signature] = token.split('.');
    await assertRefused(app, {
      one: `${header}`,
      two: `${header}.${payload}`,
      four: `${token}.${signature}`,
      five: `${token}.${payload}.${signature}`,
      'leading dot': `.${token}`,
      'trailing dot': `${token}.`,
      'empty header': `.${payload}.${signature}`,
      'empty payload': `${header}..${signature}`,
      'empty signature': `${header}.${payload}.`,
      dots: '..',
    });
  });

  test('J25 a revoked token stays revoked, and a good one is refused, in any other spelling', async (t) => {
    const app = await open(t);
    const spellings = (token: string) => {
      const other = (character: string) => token.slice(0, -1) + character;
      const [header, payload, signature] = token.split('.') as [string, string, string];
      return {
        '=': `${token}=`,
        '==': `${token}==`,
        'a space inside': `${header}. ${payload}.${signature}`,
        standard: `${header}.${payload}.${Buffer.from(signature, 'base64url').toString('base64')}`,
        'padded header': `${header}=.${payload}.${signature}`,
        ...Object.fromEntries(
          [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_']
            .filter((character) => !token.endsWith(character))
            .map((character) => [`last character ${character}`, other(character)]),
        ),
      };
    };
    const token = await app.issuer.sign({ jti: 'revoked' });
    assert.equal((await app.get(token)).status, 200);
    await assertRefused(app, spellings(token));
    await app.denylist.append([{ jti: 'revoked', exp: epochSeconds() + 300 }]);
    await assertRefused(app, { itself: token, ...spellings(token), 'a space behind': `${token} ` });
  });

  test('T12 no refusal tells a host, a port, a path, a claim or a stack', async (t) => {
    const app = await open(t);
    const refused = [
      await app.issuer.sign({ aud: 'urn:other' }),
      await app.issuer.sign({ iss: 'http://evil.example' }),
      await app.issuer.sign({}, { kid: 'unknown' }),
      await app.issuer.sign({}, { alg: 'HS256' }),
      await app.issuer.sign({ exp: 1 }),
      'a.b.c',
    ];
    for (const token of refused) {
      const response = await app.get(token);
      assertInvalidToken(response);
      const { detail } = (await response.json()) as { detail: string };
      assert.match(detail, /^The access token (?:is not valid|has expired)$/);
    }
  });
}
