import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { p256 } from '@noble/curves/nist.js';
import type { JWK } from 'jose';
import { ExternalSigningKey } from 'oidc-provider';

/**
 * A key that signs with ES256, for oidc-provider. Signing through Web Crypto, as the library does with a JWK, costs more
 * than twice as much: Node prepares JOSE's form of the signature dearly, and hands each one to another thread and back.
 */
export class SigningKey extends ExternalSigningKey {
  readonly #privateKey: KeyObject;
  readonly #publicKey: KeyObject;

  constructor(jwk: JWK) {
    super();
    this.#privateKey = createPrivateKey({ key: { ...jwk }, format: 'jwk' });
    this.#publicKey = createPublicKey(this.#privateKey);
    Object.assign(this, { kid: jwk.kid, alg: 'ES256' });
  }

  override keyObject(): KeyObject {
    return this.#publicKey;
  }

  override sign(data: Uint8Array): Uint8Array {
    const der = sign('sha256', data, this.#privateKey);
    return p256.Signature.fromBytes(der, 'der').toBytes('compact');
  }
}
