import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { DenylistWriter } from '@gatehouse/denylist';
import type { TestIssuer } from '@gatehouse/test-kit';
import { base64url } from 'jose';

/** What lets nobody in without a valid access token. */
export interface Guarded {
  issuer: TestIssuer;
  denylist: Pick<DenylistWriter, 'append'>;
  /** GET, with a Bearer token, of what every caller may have. */
  get(token: string): Promise<Response>;
}

export const encode = (value: unknown) =>
  base64url.encode(typeof value === 'string' ? value : JSON.stringify(value));

/** Tokens with these claims, each under a name that tells them apart. */
export async function withClaims(
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

export async function withHeaders(issuer: TestIssuer, headers: object[]): Promise<Record<string, string>> {
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
export async function assertRefused(guarded: Guarded, tokens: Record<string, string>): Promise<void> {
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

/** Starts what is tested: for `urn:gatehouse:api`, with an issuer of its own unless one is given. */
export type OpenGuarded = (t: TestContext, issuer?: TestIssuer) => Promise<Guarded>;
