import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { createTestIssuer } from '@gatehouse/test-kit';
import { dictionary } from '@zxcvbn-ts/language-common';
import { base64url } from 'jose';
import { assertRefused, encode, type OpenGuarded, partsOf, withHeaders } from './guarded.ts';

/** Who signed it, and with which key: J01 to J09, J26, J28, J31, J39. */
export function testForgedTokens(open: OpenGuarded): void {
  test('J01 refuses alg none in any case, with and without a signature', async (t) => {
    const app = await open(t);
    const tokens: Record<string, string> = {};
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '', null, undefined]) {
      const token = await app.issuer.sign({}, { alg });
      tokens[`${alg}, signed`] = token;
      tokens[`${alg}, not signed`] = token.slice(0, token.lastIndexOf('.') + 1);
    }
    await assertRefused(app, tokens);
  });

  test('J02, J03 refuses HMAC keyed with what is public, empty or one of 2,000 words tried first', async (t) => {
    const app = await open(t);
    const jwk = app.issuer.jwks.keys[0] as Record<string, string>;
    const { kid, privateKey } = app.issuer.signingKey;
    const publicKey = createPublicKey(privateKey);
    const secrets: Record<string, string | Buffer> = {
      PEM: publicKey.export({ format: 'pem', type: 'spki' }),
      DER: publicKey.export({ format: 'der', type: 'spki' }),
      JWK: JSON.stringify(jwk),
      JWKS: JSON.stringify({ keys: [jwk] }),
      x: jwk.x as string,
      kid,
      empty: '',
      secret: 'secret',
      changeme: 'changeme',
    };
    const [, payload] = await partsOf(app.issuer);
    const keyedWith = (secret: string | Buffer, alg: string, hash: string) => {
      const input = `${encode({ alg, typ: 'at+jwt', kid })}.${encode(payload)}`;
      return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`;
    };
    const tokens: Record<string, string> = {};
    for (const [name, secret] of Object.entries(secrets)) {
      tokens[`HS256 ${name}`] = keyedWith(secret, 'HS256', 'sha256');
      tokens[`HS512 ${name}`] = keyedWith(secret, 'HS512', 'sha512');
    }
    for (const word of dictionary['passwords-common'].slice(0, 2_000)) {
      tokens[`HS256 word ${word}`] = keyedWith(word, 'HS256', 'sha256');
    }
    assert.ok(Object.keys(tokens).length > 2_000);
    await assertRefused(app, tokens);
  });

  test('J04 refuses our own key under another algorithm', async (t) => {
    const app = await open(t);
    const algorithms = [
      'ES384',
      'ES512',
      'ES256K',
      'RS256',
      'PS256',
      'EdDSA',
      'Ed25519',
      'es256',
      ['ES256'],
      1,
    ];
    await assertRefused(
      app,
      await withHeaders(
        app.issuer,
        algorithms.map((alg) => ({ alg })),
      ),
    );
  });

  test('J05 refuses a key that the token brings along', async (t) => {
    const app = await open(t);
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = publicKey.export({ format: 'jwk' });
    const [, payload] = await partsOf(app.issuer);
    const forged = (header: object) => {
      const input = `${encode(header)}.${encode(payload)}`;
      const key = { key: privateKey, dsaEncoding: 'ieee-p1363' as const };
      return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
    };
    const { kid } = app.issuer.signingKey;
    await assertRefused(app, {
      'jwk, our kid': forged({ alg: 'ES256', typ: 'at+jwt', kid, jwk }),
      'jwk, own kid': forged({ alg: 'ES256', typ: 'at+jwt', kid: 'x', jwk }),
      'jwk, no kid': forged({ alg: 'ES256', typ: 'at+jwt', jwk }),
      'no jwk, our kid': forged({ alg: 'ES256', typ: 'at+jwt', kid }),
      ...(await withHeaders(app.issuer, [{ jwk }])),
    });
  });

  test('J06 refuses jku and x5u, and connects to neither', async (t) => {
    let connections = 0;
    const listener = createServer((socket) => {
      connections++;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    t.after(() => listener.close());
    await new Promise((resolve) => listener.once('listening', resolve));
    const { port } = listener.address() as { port: number };
    const app = await open(t);
    const headers = [{ jku: `http://127.0.0.1:${port}/jwks` }, { x5u: `http://127.0.0.1:${port}/cert` }];
    const unknown = headers.map((header) => ({ ...header, kid: 'unknown' }));
    await assertRefused(app, await withHeaders(app.issuer, [...headers, ...unknown]));
    assert.equal(connections, 0);
  });

  test('J07 refuses x5c and x5t', async (t) => {
    const app = await open(t);
    await assertRefused(
      app,
      await withHeaders(app.issuer, [{ x5c: ['MIIB'] }, { x5t: 'abc' }, { 'x5t#S256': 'abc' }]),
    );
  });

  test('J08, J28 refuses every kid but a published one, and a token without kid', async (t) => {
    const app = await open(t);
    const kids = [
      '../../../dev/null',
      "' OR 1=1--",
      ';ls',
      'x'.repeat(4000),
      'x'.repeat(10_000),
      '',
      1,
      [],
      {},
      null,
      undefined,
      true,
    ];
    kids.push('__proto__', 'constructor', [app.issuer.signingKey.kid], `${app.issuer.signingKey.kid} `);
    await assertRefused(
      app,
      await withHeaders(
        app.issuer,
        kids.map((kid) => ({ kid })),
      ),
    );
  });

  test('J28 refuses a token without kid when there are several keys too', async (t) => {
    const issuer = await createTestIssuer();
    issuer.rotate();
    const app = await open(t, issuer);
    await assertRefused(app, await withHeaders(issuer, [{ kid: undefined }]));
  });

  test('J09 refuses crit and b64 in any form', async (t) => {
    const app = await open(t);
    const headers = [
      { crit: ['unknown'], unknown: 1 },
      { crit: [] },
      { crit: ['exp'], exp: 1 },
      { crit: 'b64' },
      { crit: null },
    ];
    await assertRefused(
      app,
      await withHeaders(app.issuer, [
        ...headers,
        { b64: false },
        { b64: true },
        { b64: false, crit: ['b64'] },
      ]),
    );
  });

  test('J26 refuses signatures of zeros, of the order, in DER, too short and too long', async (t) => {
    const app = await open(t);
    const token = await app.issuer.sign();
    const input = token.slice(0, token.lastIndexOf('.'));
    const signature = Buffer.from(token.slice(input.length + 1), 'base64url');
    const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
    const s = signature.subarray(32);
    const bytes = {
      zeros: Buffer.alloc(64),
      'r zero': Buffer.concat([Buffer.alloc(32), s]),
      's zero': Buffer.concat([signature.subarray(0, 32), Buffer.alloc(32)]),
      'r = n': Buffer.concat([order, s]),
      'r = s = n': Buffer.concat([order, order]),
      DER: sign('sha256', Buffer.from(input), app.issuer.signingKey.privateKey),
      '63 bytes': signature.subarray(0, 63),
      '65 bytes': Buffer.concat([signature, Buffer.alloc(1)]),
      '65 bytes in front': Buffer.concat([Buffer.alloc(1), signature]),
      '1 byte': Buffer.alloc(1),
      'of another message': sign('sha256', Buffer.from(`${input}x`), {
        key: app.issuer.signingKey.privateKey,
        dsaEncoding: 'ieee-p1363',
      }),
    };
    await assertRefused(
      app,
      Object.fromEntries(
        Object.entries(bytes).map(([name, value]) => [name, `${input}.${base64url.encode(value)}`]),
      ),
    );
  });

  test('J31 refuses a token of another issuer whose key has the same kid', async (t) => {
    const app = await open(t);
    const other = await createTestIssuer();
    t.after(other.close);
    const { kid } = app.issuer.signingKey;
    await assertRefused(app, {
      'other key': await other.sign({}, { kid }),
      'our key, other issuer': await app.issuer.sign({ iss: 'http://localhost:9090' }),
    });
  });

  test('J39 refuses a token with any one character changed', async (t) => {
    const app = await open(t);
    const token = await app.issuer.sign();
    const tokens: Record<string, string> = {};
    for (let i = 0; i < token.length; i += 3) {
      const replacement = token[i] === 'A' ? 'B' : 'A';
      tokens[`character ${i}`] = token.slice(0, i) + replacement + token.slice(i + 1);
    }
    assert.ok(Object.keys(tokens).length > 100);
    await assertRefused(app, tokens);
  });
}
