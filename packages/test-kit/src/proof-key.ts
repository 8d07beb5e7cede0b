import { createHash, randomUUID } from 'node:crypto';
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

/** A key of a client, and the DPoP proofs (RFC 9449) that the client makes with it. */
export interface ProofKey {
  /** For the `cnf.jkt` of tokens that are bound to the key. */
  thumbprint: string;
  publicJwk: JWK;
  privateKey: CryptoKey;
  /** A valid proof for one request; given claims and header fields replace the usual ones, undefined removes them. */
  prove(
    request: { method?: string; url: string; token: string },
    claims?: Record<string, unknown>,
    header?: Record<string, unknown>,
  ): Promise<string>;
}

/** A new key, ES256 unless another algorithm is given. */
export async function createProofKey(alg = 'ES256'): Promise<ProofKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const publicJwk = await exportJWK(publicKey);
  return {
    thumbprint: await calculateJwkThumbprint(publicJwk),
    publicJwk,
    privateKey,
    prove({ method = 'GET', url, token }, claims, header) {
      const ath = createHash('sha256').update(token).digest('base64url');
      const usual = { jti: randomUUID(), htm: method, htu: url, ath, iat: Math.floor(Date.now() / 1000) };
      return new SignJWT({ ...usual, ...claims })
        .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk: publicJwk, ...header })
        .sign(privateKey);
    },
  };
}
