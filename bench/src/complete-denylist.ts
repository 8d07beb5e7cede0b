import { setTimeout as delay } from 'node:timers/promises';
import { createRedisDenylistWriter } from '@gatehouse/denylist';

/** Marks the empty denylist as complete, as auth does: without the mark no reader trusts it. */
export async function completeDenylist(url: string): Promise<void> {
  const writer = createRedisDenylistWriter({ url });
  // The writer queues nothing while it connects.
  for (let isMarked = false; !isMarked; await delay(50)) {
    isMarked = await writer.markComplete().then(
      () => true,
      () => false,
    );
  }
  await writer.close();
}
