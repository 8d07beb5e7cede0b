import { decodeJwt } from 'jose';
import { errors, Provider } from 'oidc-provider';

/** What can be presented once was presented before: an assertion of a client, or a DPoP proof. */
export class Replayed extends errors.OIDCProviderError {
  constructor() {
    super(400, 'invalid_request');
  }
}

// How far ahead of our clock the library lets a proof be dated, which prolongs its life by as much.
const furthestAheadSeconds = 5 * 60;

/**
 * Leaves it to the store, which throws Replayed, whether something is presented for the first time: oidc-provider looks
 * first and writes later, and so lets two through that come at once. It also forgets proofs that are dated ahead too soon.
 */
export function letTheStoreDetectReplays(provider: Provider): void {
  const { ReplayDetection } = provider;
  const unique = ReplayDetection.unique.bind(ReplayDetection);
  const isFirst: typeof unique = async (issuer, id, expiresAt) => {
    const isNew = await unique(issuer, id, expiresAt + furthestAheadSeconds).catch((error) => {
      if (error instanceof Replayed) return false;
      throw error;
    });
    // RFC 9449, 5 and 7.1. The library blames the refresh token or the access token, and the client would throw it away.
    if (!isNew && !isOfAssertion(id)) throw new errors.InvalidDpopProof('the proof has been used before');
    return isNew;
  };
  Object.assign(ReplayDetection, { unique: isFirst });
}

// By now the library has verified either, an assertion first.
function isOfAssertion(id: string): boolean {
  const assertion = Provider.ctx?.oidc.params?.client_assertion;
  return typeof assertion === 'string' && decodeJwt(assertion).jti === id;
}
