import {
  type DenylistReader,
  DenylistUnavailable,
  type DenylistWriter,
  type TokenReference,
} from './denylist.ts';
import { createRevocationIndex, sweepRegularly } from './revocation-index.ts';

/**
 * The denylist of a system that runs in one process: writer and reader on the same copy, lost when the process ends.
 * Like a new log it is not to be trusted until markComplete().
 */
export function createMemoryDenylist(): DenylistReader & DenylistWriter {
  const index = createRevocationIndex();
  const stopSweeping = sweepRegularly(index);
  const { promise: ready, resolve: markReady, reject: markClosed } = Promise.withResolvers<void>();
  ready.catch(() => {});
  let complete = false;
  let closed = false;

  return {
    isRevoked(token: TokenReference) {
      if (!complete || closed) throw new DenylistUnavailable('the denylist is not complete');
      return index.covers(token);
    },
    ready: () => ready,
    status: () => ({ ageMs: complete && !closed ? 0 : Number.POSITIVE_INFINITY, entries: index.size() }),
    async append(revocations) {
      if (closed) throw new DenylistUnavailable('the denylist is closed');
      for (const revocation of revocations) index.add(revocation);
    },
    isComplete: async () => complete,
    async markComplete() {
      complete = true;
      markReady();
    },
    async close() {
      closed = true;
      stopSweeping();
      markClosed(new DenylistUnavailable('the denylist is closed'));
    },
  };
}
