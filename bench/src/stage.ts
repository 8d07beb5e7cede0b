import { createPublicKey } from 'node:crypto';
import type { Revocation } from '@gatehouse/denylist';
import { createTestIssuer, startRedis, type TestIssuer } from '@gatehouse/test-kit';
import { type Child, startChild } from './children.ts';
import { completeDenylist } from './complete-denylist.ts';
import type { BenchSetup, TokenAlgorithm } from './target.ts';

/** What a gateway under test stands on: who issues tokens, a denylist in Redis, and an upstream. */
export interface Stage extends AsyncDisposable {
  issuer: TestIssuer;
  upstream: Child;
  setup: BenchSetup;
  /** A Redis more, with this on its denylist; its address. */
  addRedis(revocations?: readonly Revocation[]): Promise<string>;
}

/** Starts the file of the upstream and all else; disposed in the reverse order, while the children live. */
export async function startStage({
  upstreamFile = './upstream.ts',
  alg = 'ES256',
}: {
  upstreamFile?: string;
  alg?: TokenAlgorithm;
} = {}): Promise<Stage> {
  await using opening = new AsyncDisposableStack();
  const issuer = await createTestIssuer({ alg });
  opening.defer(() => issuer.close());
  const addRedis = async (revocations: readonly Revocation[] = []) => {
    const redis = await startRedis(undefined, { own: true });
    opened.defer(() => redis.stop());
    await completeDenylist(redis.url, revocations);
    return redis.url;
  };
  const upstream = await startChild(upstreamFile);
  opening.defer(() => void upstream.child.kill());
  const { privateKey } = issuer.signingKey;
  const opened = opening.move();
  const setup: BenchSetup = {
    upstreamUrl: `http://127.0.0.1:${upstream.port}`,
    issuer: issuer.issuer,
    audience: issuer.audience,
    jwksUri: issuer.jwksUri,
    publicKeyPem: String(createPublicKey(privateKey).export({ type: 'spki', format: 'pem' })),
    alg,
    redisUrl: await addRedis(),
    accessLog: false,
  };
  return { issuer, upstream, setup, addRedis, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
