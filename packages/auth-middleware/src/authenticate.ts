import { hash } from 'node:crypto';
import { type DenylistReader, DenylistUnavailable } from '@gatehouse/denylist';
import type { NextFunction, Request, RequestHandler } from 'express';
import { AuthError, type AuthErrorCode, type AuthScheme, schemeOf } from './auth-error.ts';
import { type Caller, setCaller } from './caller.ts';
import { noteCheck } from './explain.ts';
import type { KeySet } from './key-set.ts';
import { type ProofIds, ProofIdsUnavailable } from './proof-ids.ts';
import { createTokenCache } from './token-cache.ts';
import { verifyProof } from './verify-proof.ts';
import { createVerifyToken, hasExpired, keyIdOf, leewaySeconds } from './verify-token.ts';

/**
 * What became of a request: let through on a remembered or a newly verified token or on a proof beside it, or the code
 * of its error.
 */
export type Verdict = 'remembered' | 'verified' | 'proven' | AuthErrorCode;

export interface AuthenticateOptions {
  /** The `iss` that tokens must have, to the letter. */
  issuer: string;
  /** The audiences this service answers to; a token must name exactly one of them and nothing else. */
  audiences: readonly string[];
  keySet: KeySet;
  denylist: Pick<DenylistReader, 'isRevoked'>;
  /** What DPoP proofs are held against (RFC 9449). */
  dpop: {
    /** Of the URLs that clients call, whatever stands between them and this service. */
    origin: string;
    proofIds: Pick<ProofIds, 'add'>;
  };
  /** How many verified tokens are remembered. Default 20,000. */
  cacheSize?: number;
  /** Where the metadata of this protected resource is (RFC 9728), told in every challenge. */
  resourceMetadataUrl?: string;
  /** Told once per request; for metrics. */
  onVerdict?: (verdict: Verdict) => void;
  /** Told whether a token was remembered, once per request that has one; for metrics. */
  onLookup?: (isKnown: boolean) => void;
}

/** The guard of routes, which also tells of a caller that it let in whether the token is still good: for what takes long. */
export interface Authenticate extends RequestHandler {
  /** @throws when that cannot be told now */
  isLive(caller: Caller): boolean | Promise<boolean>;
}

const keysMissing = 'The keys to verify tokens with are not available';

/**
 * Lets only requests with one valid, unrevoked access token in their Authorization header pass (RFC 6750, 2.1), and
 * with a fresh proof where the token is bound to a key (RFC 9449, 7); behind it callerOf(req) tells who is calling.
 * Every other request ends in an AuthError: 400 or 401 when the request is at fault, 503 when keys, denylist or proof
 * ids are missing.
 */
export function createAuthenticate({
  issuer,
  audiences,
  keySet,
  denylist,
  dpop,
  cacheSize = 20_000,
  resourceMetadataUrl,
  onVerdict = () => {},
  onLookup = () => {},
}: AuthenticateOptions): Authenticate {
  const remembered = createTokenCache<Caller>(cacheSize);
  const pending = new Map<string, Promise<Caller>>();
  let keys = keySet.current();
  let verifyToken = keys && createVerifyToken(issuer, audiences, keys);

  const authenticate: RequestHandler = (req, _res, next) => {
    try {
      const header = authorizationOf(req);
      useCurrentKeys();
      const known = remembered.get(keyOf(header));
      onLookup(known !== undefined);
      if (!known || schemeOf(known) === 'DPoP') {
        admitLater(known, header, req).then(
          () => next(),
          (error) => end(error, req, next),
        );
        return;
      }
      requireLive(known, 'remembered', req);
      admit(known, 'remembered', req);
    } catch (error) {
      return end(error, req, next);
    }
    next();
  };
  const isLive = (caller: Caller) => caller.expiresAt > Date.now() / 1000 && !isListed(caller);
  return Object.assign(authenticate, { isLive });

  async function admitLater(known: Caller | undefined, header: string, req: Request): Promise<void> {
    const caller = known ?? (await verifyOnce(header));
    requireLive(caller, known ? 'remembered' : 'verified', req);
    if (schemeOf(caller) === 'Bearer') return admit(caller, 'verified', req);
    await requireProof(caller, header, req);
    admit(caller, 'proven', req);
  }

  function requireLive(caller: Caller, verdict: Verdict, req: Request): void {
    const scheme = schemeOf(caller);
    const now = Math.floor(Date.now() / 1000);
    if (caller.expiresAt <= now - leewaySeconds) throw expired(scheme);
    // Also of what is remembered: with the clock put back, it would live longer than what is seen for the first time.
    if (caller.issuedAt > now + leewaySeconds) {
      throw refuse('invalid_token', 'The access token is not valid', { scheme });
    }
    noteCheck(req, 'authn', verdict);
    if (isRevoked(caller, req)) {
      noteCheck(req, 'denylist', 'revoked');
      throw refuse('invalid_token', 'The access token has been revoked', { scheme });
    }
    noteCheck(req, 'denylist', 'live');
  }

  /** Each proof is verified when it comes, and is good once. */
  async function requireProof({ keyThumbprint = '' }: Caller, header: string, req: Request): Promise<void> {
    const { method, originalUrl, headers } = req;
    const request = { method, url: dpop.origin + originalUrl, token: tokenIn(header), keyThumbprint };
    const id = await verifyProof(String(headers.dpop), request).catch((cause) => {
      noteCheck(req, 'proof', 'invalid_dpop_proof');
      throw refuse('invalid_dpop_proof', 'The DPoP proof is not valid for this request', {
        scheme: 'DPoP',
        cause,
      });
    });
    if (!(await isNewProof(id, req))) {
      noteCheck(req, 'proof', 'replayed');
      throw refuse('invalid_dpop_proof', 'The DPoP proof has been used before', { scheme: 'DPoP' });
    }
    noteCheck(req, 'proof', 'proven');
  }

  async function isNewProof(id: string, req: Request): Promise<boolean> {
    try {
      return await dpop.proofIds.add(id);
    } catch (cause) {
      if (!(cause instanceof ProofIdsUnavailable)) throw cause;
      noteCheck(req, 'proof', 'unavailable');
      throw refuse('unavailable', 'Used proofs cannot be told from new ones now', { cause });
    }
  }

  function admit(caller: Caller, verdict: Verdict, req: Request): void {
    setCaller(req, caller);
    onVerdict(verdict);
  }

  function end(error: unknown, req: Request, next: NextFunction): void {
    if (error instanceof AuthError) {
      onVerdict(error.code);
      // Whatever ends a request later has been noted by now, and then this changes nothing.
      noteCheck(req, 'authn', error.code);
    }
    next(error);
  }

  /** The Authorization header if it is the one place where this request carries a token. */
  function authorizationOf(req: Request): string {
    // Node drops all but the first one from req.headers.
    let count = 0;
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
      const name = req.rawHeaders[i] as string;
      if (name.length === 13 && name.toLowerCase() === 'authorization') count++;
    }
    if (count > 1) throw refuse('invalid_request', 'There must be one Authorization header');
    const header = req.headers.authorization;
    if (header === undefined || !/^(?:bearer|dpop)(?: |$)/i.test(header)) {
      throw refuse('no_credentials', 'This needs an access token in the Authorization header');
    }
    if (/[?&]access_token=/.test(req.originalUrl)) {
      throw refuse('invalid_request', 'A token in the query is not accepted');
    }
    return header;
  }

  /** Forgets what was verified under keys that are no longer the current ones. */
  function useCurrentKeys(): void {
    const current = keySet.current();
    if (current === keys) return;
    keys = current;
    verifyToken = keys && createVerifyToken(issuer, audiences, keys);
    remembered.clear();
    pending.clear();
  }

  /** Verifies a token once, however many requests bring it at the same time. */
  function verifyOnce(header: string): Promise<Caller> {
    const running = pending.get(header);
    if (running) return running;
    const started = verify(header).finally(() => pending.delete(header));
    pending.set(header, started);
    return started;
  }

  async function verify(header: string): Promise<Caller> {
    const token = tokenIn(header);
    const scheme = /^dpop/i.test(header) ? 'DPoP' : 'Bearer';
    try {
      const kid = keyIdOf(token);
      if (!(await keySetKnows(kid))) throw new TypeError('an unknown key');
      useCurrentKeys();
      const verifiedUnder = keys;
      if (!verifyToken) throw refuse('unavailable', keysMissing);
      const caller = await verifyToken(token);
      requireScheme(caller, scheme);
      if (keySet.current() === verifiedUnder) remembered.set(keyOf(header), caller);
      return caller;
    } catch (cause) {
      if (cause instanceof AuthError) throw cause;
      throw hasExpired(cause)
        ? expired(scheme, cause)
        : refuse('invalid_token', 'The access token is not valid', { scheme, cause });
    }
  }

  function requireScheme(caller: Caller, scheme: AuthScheme): void {
    if (scheme === schemeOf(caller)) return;
    const message =
      scheme === 'DPoP'
        ? 'The access token is bound to no key'
        : 'The access token is bound to a key and needs the DPoP scheme';
    throw refuse('invalid_token', message, { scheme });
  }

  async function keySetKnows(kid: string): Promise<boolean> {
    try {
      return await keySet.knows(kid);
    } catch (cause) {
      throw refuse('unavailable', keysMissing, { cause });
    }
  }

  function isListed({ tokenId, subject, issuedAt, grantId }: Caller): boolean {
    return denylist.isRevoked({ jti: tokenId, sub: subject, iat: issuedAt, gid: grantId });
  }

  function isRevoked(caller: Caller, req: Request): boolean {
    try {
      return isListed(caller);
    } catch (cause) {
      if (!(cause instanceof DenylistUnavailable)) throw cause;
      noteCheck(req, 'denylist', 'unavailable');
      throw refuse('unavailable', 'Revoked tokens cannot be told from others now', { cause });
    }
  }

  function expired(scheme: AuthScheme, cause?: unknown): AuthError {
    return refuse('invalid_token', 'The access token has expired', { scheme, cause });
  }

  function refuse(
    code: AuthErrorCode,
    message: string,
    details: { scheme?: AuthScheme; cause?: unknown } = {},
  ): AuthError {
    return new AuthError(code, message, { ...details, resourceMetadataUrl });
  }
}

// A token takes ten times as much room, and what is kept of it would be worth stealing.
function keyOf(header: string): string {
  return hash('sha256', header, 'binary');
}

function tokenIn(header: string): string {
  return header.slice(header.indexOf(' ') + 1);
}
