import { setImmediate as nextTurn } from 'node:timers/promises';
import { isDatabaseUnavailable, Problem } from '@gatehouse/service-kit';

/** Writes what several callers bring at about the same time in one go. */
export interface GroupCommit<Item> {
  /**
   * The item is written once this resolves.
   * @throws Problem 503 when too many wait already, or whatever the write failed with
   */
  add(item: Item): Promise<void>;
  /** Resolves when everything that was added is written, or has failed. */
  settled(): Promise<void>;
}

interface Waiting<Item> {
  item: Item;
  resolve(): void;
  reject(error: unknown): void;
}

/** One write at a time, with all that has come during the one before. */
export function createGroupCommit<Item>(
  write: (items: readonly Item[]) => Promise<void>,
  { mostWaiting, mostAtOnce }: { mostWaiting: number; mostAtOnce: number },
): GroupCommit<Item> {
  const waiting: Waiting<Item>[] = [];
  let running: Promise<void> | undefined;

  async function run() {
    while (waiting.length > 0) {
      // What arrived together is read from its sockets within one turn.
      await nextTurn();
      await settle(waiting.splice(0, mostAtOnce));
    }
    running = undefined;
  }

  async function settle(batch: readonly Waiting<Item>[]): Promise<void> {
    try {
      await write(batch.map(({ item }) => item));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      if (isDatabaseUnavailable(error)) {
        // Whoever waits would wait as long again, and for nothing.
        for (const { reject } of [...batch, ...waiting.splice(0)]) reject(error);
      } else if (batch.length === 1) {
        batch[0]?.reject(error);
      } else {
        // One that the database does not take must not take the others with it.
        for (const one of batch) await settle([one]);
      }
    }
  }

  return {
    async add(item) {
      if (waiting.length >= mostWaiting) {
        throw new Problem(503, 'Too much is going on at once', { headers: { 'Retry-After': '2' } });
      }
      const written = new Promise<void>((resolve, reject) => waiting.push({ item, resolve, reject }));
      running ??= run();
      await written;
    },
    settled: async () => running,
  };
}
