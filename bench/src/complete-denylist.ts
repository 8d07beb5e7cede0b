import { setTimeout as delay } from 'node:timers/promises';
import { createRedisDenylistWriter, DenylistUnavailable, type Revocation } from '@gatehouse/denylist';

/**
 * Writes these to an empty denylist and marks it as complete, as auth does: without the mark no reader trusts it.
 */
export async function completeDenylist(url: string, revocations: readonly Revocation[] = []): Promise<void> {
  const writer = createRedisDenylistWriter({ url });
  await patiently(() => writer.markComplete());
  for (let i = 0; i < revocations.length; i += 1_000) {
    await patiently(() => writer.append(revocations.slice(i, i + 1_000)));
  }
  await writer.close();
}

/** The writer queues nothing while it connects, and gives a busy Redis little time. */
async function patiently(write: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof DenylistUnavailable)) throw error;
      await delay(50);
    }
  }
}
