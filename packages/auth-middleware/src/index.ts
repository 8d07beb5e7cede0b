export { AuthError, type AuthErrorCode, type AuthScheme, schemeOf } from './auth-error.ts';
export {
  type Authenticate,
  type AuthenticateOptions,
  createAuthenticate,
  type Verdict,
} from './authenticate.ts';
export { type Caller, callerOf, knownCallerOf } from './caller.ts';
export { explain, noteCheck, noteNextHop } from './explain.ts';
export {
  createKeySet,
  isStrongKey,
  type KeySet,
  type KeySetOptions,
  type PublicKey,
  type SigningAlgorithm,
} from './key-set.ts';
export {
  createMemoryProofIds,
  createRedisProofIds,
  type ProofIds,
  ProofIdsUnavailable,
} from './proof-ids.ts';
export { requireRole, requireScope } from './require-scope.ts';
export { proofAlgorithms } from './verify-proof.ts';
