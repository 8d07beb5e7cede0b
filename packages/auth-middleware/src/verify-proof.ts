import { hash } from 'node:crypto';
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from 'jose';
import { leewaySeconds } from './verify-token.ts';

/** The algorithms that proofs may be signed with. */
export const proofAlgorithms = ['ES256'];

const maxAgeSeconds = 60;
const maxProofLength = 4096;
const maxIdLength = 256;

/** The request that a proof has to be about. */
export interface ProvenRequest {
  method: string;
  /** As the client sees it; query and fragment do not count. */
  url: string;
  token: string;
  /** Of the key that the token is bound to (RFC 7638). */
  keyThumbprint: string;
}

/**
 * Verifies a DPoP proof (RFC 9449, 4.3): made in the last minute, for this request and this token, by the key that the
 * token is bound to. Throws with the reason; whether the proof was used before is the caller's to ask.
 * @returns what identifies the proof, however it is spelled: a hash of its key and its `jti`
 */
export async function verifyProof(
  proof: string,
  { method, url, token, keyThumbprint }: ProvenRequest,
): Promise<string> {
  if (proof.length > maxProofLength) throw new TypeError('a proof that is too long');
  // Two DPoP headers arrive joined by a comma, and with one no compact JWS can be read.
  const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
    typ: 'dpop+jwt',
    algorithms: proofAlgorithms,
    maxTokenAge: maxAgeSeconds,
    clockTolerance: leewaySeconds,
  });
  const { jwk = {} } = protectedHeader;
  if ((await calculateJwkThumbprint(jwk)) !== keyThumbprint) throw new TypeError('a proof of another key');
  const { jti, htm, htu, ath } = payload;
  if (htm !== method) throw new TypeError('claim htm');
  if (typeof htu !== 'string' || withoutQuery(htu) !== withoutQuery(url)) throw new TypeError('claim htu');
  if (ath !== hash('sha256', token, 'base64url')) throw new TypeError('claim ath');
  if (typeof jti !== 'string' || jti === '' || jti.length > maxIdLength) throw new TypeError('claim jti');
  return hash('sha256', `${keyThumbprint}.${jti}`, 'base64url');
}

/** In the one form that the URL standard gives it; throws on what is no URL. */
function withoutQuery(text: string): string {
  const url = new URL(text);
  url.search = '';
  url.hash = '';
  return url.href;
}
