/**
 * Lets one piece of work run at a time for each key, and those that come meanwhile in their order.
 * @param longestQueue how many may wait for one key
 */
export function oneAtATime(longestQueue: number) {
  const queues = new Map<string, { last: Promise<unknown>; length: number }>();

  return async function inTurn<Result>(
    key: string,
    tooMany: () => never,
    work: () => Promise<Result>,
  ): Promise<Result> {
    const queue = queues.get(key) ?? { last: Promise.resolve(), length: 0 };
    if (queue.length > longestQueue) tooMany();
    queues.set(key, queue);
    queue.length += 1;
    const result = queue.last.then(work);
    queue.last = result.catch(() => {});
    try {
      return await result;
    } finally {
      queue.length -= 1;
      if (queue.length === 0) queues.delete(key);
    }
  };
}
