/** What access tokens are signed with. */
export type TokenAlgorithm = 'ES256' | 'RS256';

/** What a process under test is told: where to forward to, and how to verify. */
export interface BenchSetup {
  upstreamUrl: string;
  issuer: string;
  audience: string;
  jwksUri: string;
  publicKeyPem: string;
  alg: TokenAlgorithm;
  redisUrl: string;
  /** How many tokens ours remembers, where that is not left to its default. */
  tokenCacheSize?: number;
  /** Whether the floor verifies each token, by what verifies ours. */
  verifiesEach?: boolean;
  /** Whether a peer writes its own access log; ours always does. */
  accessLog: boolean;
}

/** Runs a target as a child process of run.ts: it gets its set-up as an argument and reports its port. */
export async function runTarget<Setup = BenchSetup>(start: (setup: Setup) => Promise<number>): Promise<void> {
  const setup = JSON.parse(process.argv[2] ?? '{}') as Setup;
  process.on('disconnect', () => process.exit());
  process.send?.({ port: await start(setup) });
}
