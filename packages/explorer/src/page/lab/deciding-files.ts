/** The files that decide what experiments try, from the root of the repository: each can be read in the browser. */
export const decidingFiles = [
  'apps/auth/src/accounts/account-access.ts',
  'apps/auth/src/accounts/account-admin.ts',
  'apps/auth/src/keys/keys.ts',
  'apps/auth/src/limits/limits.ts',
  'apps/auth/src/protocol/adapter.ts',
  'apps/gateway/src/hygiene.ts',
  'apps/gateway/src/start.ts',
  'apps/orders/src/store.ts',
  'packages/auth-middleware/src/authenticate.ts',
  'packages/auth-middleware/src/require-scope.ts',
  'packages/auth-middleware/src/verify-proof.ts',
  'packages/auth-middleware/src/verify-token.ts',
  'packages/denylist/src/revocation-index.ts',
  'packages/service-kit/src/route.ts',
] as const;

export type DecidingFile = (typeof decidingFiles)[number];
