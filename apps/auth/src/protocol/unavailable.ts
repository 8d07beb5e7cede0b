import { errors } from 'oidc-provider';

/** A store did not answer: 503 `temporarily_unavailable`, which is no fault of the request or of its credentials. */
export class Unavailable extends errors.OIDCProviderError {
  override error_description = 'a part of the system that this request needs is unavailable';
  override expose = true;
  override allow_redirect = false;
  constructor(cause: unknown) {
    super(503, 'temporarily_unavailable', { cause });
  }
}

/** Makes every failure of `work` Unavailable, but for the answers that the protocol knows. */
export async function orUnavailable<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof errors.OIDCProviderError ? error : new Unavailable(error);
  }
}
