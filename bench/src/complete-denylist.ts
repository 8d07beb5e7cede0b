import { setTimeout as delay } from 'node:timers/promises';
import { createRedisDenylistWriter, type Revocation } from '@gatehouse/denylist';

/**
 * Writes these to an empty denylist and marks it as complete, as auth does: without the mark no reader trusts it.
 */
export async function completeDenylist(url: string, revocations: readonly Revocation[] = []): Promise<void> {
  const writer = createRedisDenylistWriter({ url });
  // The writer queues nothing while it connects.
  for (let isMarked = false; !isMarked; await delay(50)) {
    isMarked = await writer.markComplete().then(
      () => true,
      () => false,
    );
  }
  await writer.append(revocations);
  await writer.close();
}
