import assert from 'node:assert/strict';
import {
  createCipheriv,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
} from 'node:crypto';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import type { DenylistWriter } from '@gatehouse/denylist';
import { createTestIssuer, type TestIssuer } from '@gatehouse/test-kit';
import { dictionary } from '@zxcvbn-ts/language-common';
import { base64url, CompactEncrypt } from 'jose';

/** What lets nobody in without a valid access token. */
export interface Guarded {
  issuer: TestIssuer;
  denylist: Pick<DenylistWriter, 'append'>;
  /** GET, with a Bearer token, of what every caller may have. */
  get(token: string): Promise<Response>;
}

const encode = (value: unknown) =>
  base64url.encode(typeof value === 'string' ? value : JSON.stringify(value));

/** Tokens with these claims, each under a name that tells them apart. */
async function withClaims(
  issuer: TestIssuer,
  claim: string,
  values: unknown[],
): Promise<Record<string, string>> {
  const named = values.map(async (value) => [
    `${claim} ${JSON.stringify(value)}`,
    await issuer.sign({ [claim]: value }),
  ]);
  return Object.fromEntries(await Promise.all(named));
}

async function withHeaders(issuer: TestIssuer, headers: object[]): Promise<Record<string, string>> {
  const named = headers.map(async (header) => [JSON.stringify(header), await issuer.sign({}, { ...header })]);
  return Object.fromEntries(await Promise.all(named));
}

/** The header and payload of a valid token, as text. */
export async function partsOf(issuer: TestIssuer): Promise<[header: string, payload: string]> {
  const [header, payload] = (await issuer.sign()).split('.');
  return [
    Buffer.from(header as string, 'base64url').toString(),
    Buffer.from(payload as string, 'base64url').toString(),
  ];
}

/** Fails unless every token is refused as invalid, and a sound one is not. */
async function assertRefused(guarded: Guarded, tokens: Record<string, string>): Promise<void> {
  const sound = await guarded.get(await guarded.issuer.sign());
  assert.equal(sound.status, 200, 'a sound token passes');
  for (const [name, token] of Object.entries(tokens)) {
    assertInvalidToken(await guarded.get(token), name);
  }
}

/** Fails unless the answer is a 401 with the challenge of RFC 6750 that gives nothing away. */
export function assertInvalidToken(response: Response, name = ''): void {
  assert.equal(response.status, 401, name);
  assert.match(
    response.headers.get('www-authenticate') ?? '',
    /^Bearer realm="api", error="invalid_token", error_description="The access token (?:is not valid|has expired|has been revoked)"(?:, resource_metadata="[^"]+")?$/,
    name,
  );
  assert.equal(response.headers.get('cache-control'), 'no-store', name);
}

export function epochSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/**
 * Tests what every guard must refuse: J of the security checks. Each test opens one of its own.
 * @param open starts what is tested: for `urn:gatehouse:api`, with an issuer of its own unless one is given
 */
export function testInvalidTokens(open: (t: TestContext, issuer?: TestIssuer) => Promise<Guarded>): void {
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
    assert.match(expired.headers.get('www-authenticate') ?? '', /has expired/);
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

  test('J29 what a claim inherits is no claim', async (t) => {
    const app = await open(t);
    const [header, payload] = await partsOf(app.issuer);
    const borrowed = payload.replace('{', '{"__proto__":{"sub":"admin"},').replace('"sub":"alice",', '');
    await assertRefused(app, { 'sub by way of __proto__': app.issuer.signText(header, borrowed) });
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
