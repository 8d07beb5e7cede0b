import { generateKeyPairSync, type KeyObject, randomUUID, sign as signBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { listenApp } from './listen-app.ts';

/** An authorization server reduced to what a resource server sees of it: keys and signed tokens. */
export interface TestIssuer {
  issuer: string;
  audience: string;
  jwksUri: string;
  /** The private key that signs now, and the `kid` of its public half. */
  signingKey: { kid: string; privateKey: KeyObject };
  jwks: {
    /** What the JWKS endpoint publishes; tests may add odd keys or remove some. */
    keys: Record<string, unknown>[];
    /** How often the endpoint was asked. */
    fetches: number;
    /** Answers instead of the key set when given: fail, hang (do nothing), redirect, drip. */
    answer: ((res: ServerResponse) => void) | undefined;
  };
  /** A valid at+jwt; given claims and header fields replace the usual ones, undefined removes them. */
  sign(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
  /** A compact JWS over exactly these bytes, whatever they are: for malformed tokens. */
  signText(header: string | Uint8Array, payload: string | Uint8Array): string;
  /** Publishes a new key beside the old ones and signs with it from now on. */
  rotate(): void;
  close(): Promise<void>;
}

/** Starts a JWKS endpoint on a free port; the tokens it signs verify with `alg` against that endpoint. */
export async function createTestIssuer({
  issuer = 'http://localhost:8080',
  audience = 'urn:gatehouse:api',
  alg = 'ES256',
}: {
  issuer?: string;
  audience?: string;
  alg?: 'ES256' | 'RS256';
} = {}): Promise<TestIssuer> {
  const jwks: TestIssuer['jwks'] = { keys: [], fetches: 0, answer: undefined };
  const server = await listenApp((_req, res) => {
    jwks.fetches++;
    if (jwks.answer) return jwks.answer(res);
    res.setHeader('content-type', 'application/jwk-set+json').end(JSON.stringify({ keys: jwks.keys }));
  });

  const self: TestIssuer = {
    issuer,
    audience,
    jwksUri: `${server.url}/.well-known/jwks.json`,
    signingKey: newKey(),
    jwks,
    async sign(claims, header) {
      const now = Math.floor(Date.now() / 1000);
      return self.signText(
        JSON.stringify({ alg, typ: 'at+jwt', kid: self.signingKey.kid, ...header }),
        JSON.stringify({
          iss: issuer,
          aud: audience,
          sub: 'alice',
          client_id: 'test-client',
          scope: 'items:read',
          roles: ['customer'],
          gid: 'test-grant',
          jti: randomUUID(),
          iat: now,
          exp: now + 300,
          ...claims,
        }),
      );
    },
    signText(header, payload) {
      const input = `${base64url(header)}.${base64url(payload)}`;
      // With ES256, JWS carries r and s side by side, not DER (RFC 7518, 3.4).
      const key = { key: self.signingKey.privateKey, dsaEncoding: 'ieee-p1363' as const };
      return `${input}.${signBytes('sha256', Buffer.from(input), key).toString('base64url')}`;
    },
    rotate() {
      self.signingKey = newKey();
    },
    close: server.close,
  };
  return self;

  function newKey(): TestIssuer['signingKey'] {
    const { publicKey, privateKey } =
      alg === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: 2048 });
    const kid = randomUUID();
    jwks.keys.push({ ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
    return { kid, privateKey };
  }
}

function base64url(bytes: string | Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
