import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProofKey, type TestIssuer } from '@gatehouse/test-kit';
import { assertProblem, challengeOf, type TestAnswer, type TestRequest } from './index.ts';

/**
 * Registers the test that a route takes tokens which are bound to a key (RFC 9449), each with a proof of its own.
 * @param as the claims that the route asks for
 */
export function testProofs(
  name: string,
  { method, path, as }: { method: string; path: string; as: Record<string, unknown> },
  call: (request: TestRequest) => Promise<TestAnswer>,
  issuer: TestIssuer,
): void {
  test(`J34 J35 ${name} takes a bound token with a fresh proof for it, once, and never without`, async () => {
    const key = await createProofKey();
    const token = await issuer.sign({ ...as, cnf: { jkt: key.thumbprint } });
    const prove = (claims = {}) => key.prove({ method, url: issuer.issuer + path, token }, claims);
    const send = (scheme: string, proof?: string) =>
      call({ headers: { Authorization: `${scheme} ${token}`, ...(proof !== undefined && { DPoP: proof }) } });

    const proof = await prove();
    const taken = await send('DPoP', proof);
    assert.ok(![401, 403].includes(taken.status), String(taken.status));
    const faults = {
      replayed: proof,
      'for another method': await prove({ htm: 'TRACE' }),
      'for another path': await prove({ htu: `${issuer.issuer}/elsewhere` }),
      'for another token': await prove({ ath: 'x' }),
      old: await prove({ iat: Math.floor(Date.now() / 1000) - 70 }),
      missing: undefined,
    };
    for (const [fault, refused] of Object.entries(faults)) {
      const answer = await send('DPoP', refused);
      assertProblem(answer, 401);
      assert.match(challengeOf(answer), /^DPoP .*error="invalid_dpop_proof"/, fault);
    }
    const bearer = await send('Bearer', await prove());
    assertProblem(bearer, 401);
    assert.match(challengeOf(bearer), /^Bearer .*error="invalid_token"/);
  });
}
