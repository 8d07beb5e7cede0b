import { decodeClaims, decodeHeader } from '../claims.ts';
import { authorizationServer } from '../sign-in.ts';
import { type Experiment, mustBe } from './experiment.ts';
import { base64url, call, tokensOf } from './lab-client.ts';

const verify = 'packages/auth-middleware/src/verify-token.ts';
const part = (value: object) => base64url(JSON.stringify(value));
const tokenOf = async (name: string) => (await tokensOf(name, 'profile:read')).accessToken;

/** Tokens that look like good ones. */
export const forgeries: readonly Experiment[] = [
  {
    id: 'tampered',
    title: 'A tampered payload',
    sends: 'Alice’s token with the role admin written into it; its signature is left as it was.',
    expects: '401: the signature is over what stood there before.',
    decidedBy: verify,
    run: async () => {
      const token = await tokenOf('alice');
      const [header, , signature] = token.split('.');
      const claims = { ...decodeClaims(token), roles: ['admin'] };
      return mustBe(401, await call('/users/me', `${header}.${part(claims)}.${signature}`));
    },
  },
  {
    id: 'alg-none',
    title: 'Algorithm none',
    sends: 'Alice’s claims under a header that says that nothing is signed.',
    expects: '401: the algorithm is the verifier’s choice, not the token’s.',
    decidedBy: verify,
    run: async () => {
      const claims = decodeClaims(await tokenOf('alice'));
      return mustBe(401, await call('/users/me', `${part({ alg: 'none', typ: 'at+jwt' })}.${part(claims)}.`));
    },
  },
  {
    id: 'hs256',
    title: 'HS256 with the public key',
    sends: 'Alice’s claims, signed with the published key as if it were a shared secret.',
    expects: '401: what everybody can read is no secret, and the algorithm is not the one that is expected.',
    decidedBy: verify,
    run: async () => {
      const { SignJWT } = await import('jose');
      const token = await tokenOf('alice');
      const { jwks_uri } = await authorizationServer();
      const published = await (await fetch(String(jwks_uri), { signal: AbortSignal.timeout(10_000) })).text();
      const forged = await new SignJWT({ ...decodeClaims(token), roles: ['admin'] })
        .setProtectedHeader({ ...decodeHeader(token), alg: 'HS256' })
        .sign(new TextEncoder().encode(published));
      return mustBe(401, await call('/users/me', forged));
    },
  },
  {
    id: 'own-key',
    title: 'A key of the forger’s own',
    sends: 'Alice’s claims, signed by a new key that the token brings along in its header.',
    expects: '401: keys come from the issuer’s published set, never from a token.',
    decidedBy: verify,
    run: async () => {
      const { SignJWT, exportJWK, generateKeyPair } = await import('jose');
      const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
      const token = await tokenOf('alice');
      const forged = await new SignJWT(decodeClaims(token))
        .setProtectedHeader({ ...decodeHeader(token), alg: 'ES256', jwk: await exportJWK(publicKey) })
        .sign(privateKey);
      return mustBe(401, await call('/users/me', forged));
    },
  },
];
