import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  randomBytes,
} from 'node:crypto';

/** Keeps what is stored useless to whoever has the database but not the key. */
export interface Vault {
  /** The text encrypted and bound to `context`: it opens under the same context only. */
  seal(text: string, context: string): string;
  /** @throws when the text was sealed under another key or context, or was changed */
  open(sealed: string, context: string): string;
  /** A keyed hash that finds `value` again and tells nothing about it, however little there is to guess. */
  hash(value: string, context: string): string;
  /** A key of its own for `purpose`. */
  derive(purpose: string): Buffer;
}

const nonceBytes = 12;
const tagBytes = 16;

/**
 * @param encryptionKey 32 random bytes in base64url
 * @throws RangeError for a key of any other length
 */
export function createVault(encryptionKey: string): Vault {
  const root = Buffer.from(encryptionKey, 'base64url');
  if (root.length !== 32) throw new RangeError('the encryption key must be 32 bytes in base64url');
  // RFC 5869: one secret, a key for each use.
  const derive = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', root, '', `gatehouse auth ${purpose}`, 32));
  // As key objects, which cost a third of what bytes do at each use.
  const sealKey = createSecretKey(derive('seal'));
  const hashKey = createSecretKey(derive('hash'));
  return {
    derive,
    seal(text, context) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', sealKey, nonce).setAAD(Buffer.from(context));
      const encrypted = [cipher.update(text, 'utf8'), cipher.final()];
      return Buffer.concat([nonce, cipher.getAuthTag(), ...encrypted]).toString('base64url');
    },
    open(sealed, context) {
      const bytes = Buffer.from(sealed, 'base64url');
      const nonce = bytes.subarray(0, nonceBytes);
      const decipher = createDecipheriv('aes-256-gcm', sealKey, nonce, { authTagLength: tagBytes })
        .setAAD(Buffer.from(context))
        .setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
      return (
        decipher.update(bytes.subarray(nonceBytes + tagBytes), undefined, 'utf8') + decipher.final('utf8')
      );
    },
    hash: (value, context) =>
      createHmac('sha256', hashKey).update(`${context}\n${value}`).digest('base64url'),
  };
}
