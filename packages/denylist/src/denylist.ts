/**
 * What is revoked: one token, every token of a grant, or every token of a subject issued before a moment.
 * All times are epoch seconds; `exp` is when the last token concerned has expired by itself.
 */
export type Revocation =
  | { jti: string; exp: number }
  | { gid: string; exp: number }
  | { sub: string; notBefore: number; exp: number };

/** The claims of a token that decide whether it is revoked. */
export interface TokenReference {
  jti: string;
  sub: string;
  /** Epoch seconds. */
  iat: number;
  gid?: string | undefined;
}

/** Answers from a local copy of the denylist, without a round trip. */
export interface DenylistReader {
  /** Throws DenylistUnavailable when the local copy is too old to be trusted, or was never complete. */
  isRevoked(token: TokenReference): boolean;
  /** Resolves once the local copy can be trusted; rejects when the reader is closed before. */
  ready(): Promise<void>;
  /** The age of the local copy in milliseconds (Infinity before the first complete read) and its entries. */
  status(): { ageMs: number; entries: number };
  close(): Promise<void>;
}

/** Makes revocations known to every reader. */
export interface DenylistWriter {
  /** Every revocation is in the log when this resolves; throws DenylistUnavailable otherwise. */
  append(revocations: readonly Revocation[]): Promise<void>;
  /**
   * Whether the log is known to hold everything revoked: one that is new, lost its data, or was out of reach for a
   * moment is not, until all unexpired revocations have been appended again.
   */
  isComplete(): Promise<boolean>;
  /**
   * Says that all unexpired revocations have been appended: readers trust the log from now on. Throws
   * DenylistUnavailable if the log lost its data since isComplete() found it incomplete.
   */
  markComplete(): Promise<void>;
  close(): Promise<void>;
}

/** The denylist cannot be read or written now: answer 503, never 200 and never 401. */
export class DenylistUnavailable extends Error {
  override readonly name = 'DenylistUnavailable';
}
