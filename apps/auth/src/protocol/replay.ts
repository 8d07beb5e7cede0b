import { errors, type Provider } from 'oidc-provider';

/** What can be presented once was presented before: an assertion of a client, or a DPoP proof. */
export class Replayed extends errors.OIDCProviderError {
  constructor() {
    super(400, 'invalid_request');
  }
}

/**
 * Leaves it to the store, which throws Replayed, whether something is presented for the first time, where oidc-provider
 * looks first and writes later, and so lets two through that come at once.
 */
export function letTheStoreDetectReplays(provider: Provider): void {
  const { ReplayDetection } = provider;
  const unique = ReplayDetection.unique.bind(ReplayDetection);
  const isFirst: typeof unique = async (...presented) => {
    try {
      return await unique(...presented);
    } catch (error) {
      if (error instanceof Replayed) return false;
      throw error;
    }
  };
  Object.assign(ReplayDetection, { unique: isFirst });
}
