import type { Request, Response } from 'express';
import { auth } from 'express-oauth2-jwt-bearer';
import { type Caller, callerFrom } from './caller.ts';
import type { PublicKey } from './key-set.ts';

/** How far the clocks of issuer and verifier may be apart. */
export const leewaySeconds = 5;

const maxTokenLength = 8192;
const compactJws = /^[\w-]+\.[\w-]+\.[\w-]+$/;
// RFC 7515, 4.1: nothing else is needed, and what a token says about its own keys is not believed.
const headerFields = new Set(['alg', 'typ', 'kid']);
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Verifies an access token and gives back its caller, or throws with the reason. */
export type VerifyToken = (token: string) => Promise<Caller>;

/** Whether a verifier refused a token that was sound, for being past its `exp`. */
export function hasExpired(reason: unknown): boolean {
  return reason instanceof Error && reason.message === '"exp" claim timestamp check failed';
}

/** The `kid` of a token that has the form of ours: a compact JWS with a plain header. Throws on any other. */
export function keyIdOf(token: string): string {
  if (token.length > maxTokenLength || !compactJws.test(token)) throw new TypeError('not a compact JWS');
  const header = decodeJson(token.split('.')[0]);
  const unknown = Object.keys(header).find((field) => !headerFields.has(field));
  if (unknown !== undefined) throw new TypeError('a header field that is not expected');
  if (typeof header.kid !== 'string') throw new TypeError('no key id');
  return header.kid;
}

/**
 * A verifier for the access tokens (RFC 9068) of one issuer under one key set: of the keys' algorithm, at+jwt, unexpired,
 * and for exactly one of `audiences`. Whether it is dated ahead, and comes with a proof where it is bound to a key, is the
 * caller's to ask.
 */
export function createVerifyToken(
  issuer: string,
  audiences: readonly string[],
  keySet: { keys: PublicKey[] },
): VerifyToken {
  const verify = auth({
    issuer,
    audience: [...audiences],
    publicKey: keySet,
    // The set has keys of one algorithm alone.
    tokenSigningAlg: keySet.keys[0]?.alg ?? 'ES256',
    strict: true,
    clockTolerance: leewaySeconds,
    dpop: { enabled: false },
    mtls: { enabled: false },
    // Empty rather than absent: the library takes absent ones from ISSUER_BASE_URL, JWKS_URI and SECRET.
    issuerBaseURL: '',
    jwksUri: '',
    secret: '',
  });

  return async (token) => {
    await runAlone(verify, token);
    // The library forgives a byte order mark and stray bits; two readers may then see two tokens.
    const [, payload, signature] = token.split('.');
    decodeBytes(signature);
    return callerFrom(decodeJson(payload));
  };
}

/** Runs the middleware on a request that has a header and nothing else, so that a token can come from nowhere else. */
function runAlone(middleware: ReturnType<typeof auth>, token: string): Promise<void> {
  const request = {
    headers: { authorization: `Bearer ${token}` },
    method: 'GET',
    protocol: 'http',
    originalUrl: '/',
    get: (name: string) => (name === 'Host' ? 'localhost' : undefined),
    is: () => false,
  };
  return new Promise((resolve, reject) => {
    const done = (error?: unknown) => (error === undefined ? resolve() : reject(error));
    middleware(request as unknown as Request, {} as Response, done);
  });
}

function decodeJson(part: string | undefined): Record<string, unknown> {
  const value: unknown = JSON.parse(strictUtf8.decode(decodeBytes(part)));
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('not an object');
  return value as Record<string, unknown>;
}

function decodeBytes(part = ''): Buffer {
  const bytes = Buffer.from(part, 'base64url');
  if (bytes.toString('base64url') !== part) throw new TypeError('not canonical base64url');
  return bytes;
}
