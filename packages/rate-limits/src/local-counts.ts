export interface Count {
  count: number;
  /** On the clock of performance.now(). */
  endsAt: number;
}

export interface LocalCounts {
  /** Counts `key` once more; `madeRoom` when another count had to go for it. */
  add(key: string): { counted: Count; madeRoom: boolean };
  find(key: string): Count | undefined;
  /** Whether there is nothing to find, whatever the key. */
  isEmpty(): boolean;
  /** Afterwards this key counts at least `count` for `leftMs` from now. */
  raise(key: string, count: number, leftMs: number): void;
  takeBack(key: string, counted: Count): void;
  forget(key: string): void;
}

/**
 * Counts in windows that begin with the first of each key, in the memory of this process: at most `mostKeys` of them,
 * and the oldest makes room.
 */
export function createLocalCounts(windowMs: number, mostKeys: number): LocalCounts {
  // In the order in which they end, since their windows are equally long.
  const counts = new Map<string, Count>();
  // Goes on where it was: a new iterator would begin with the places of all that has been deleted.
  let rest = counts.entries();
  let first: [key: string, counted: Count] | undefined;

  function oldest(): [key: string, counted: Count] | undefined {
    while (first === undefined || counts.get(first[0]) !== first[1]) {
      first = rest.next().value;
      if (first !== undefined) continue;
      rest = counts.entries();
      if (counts.size === 0) return undefined;
    }
    return first;
  }

  function find(key: string): Count | undefined {
    const found = counts.get(key);
    return found && found.endsAt > performance.now() ? found : undefined;
  }

  function dropEnded(): void {
    for (let next = oldest(); next && next[1].endsAt <= performance.now(); next = oldest()) {
      counts.delete(next[0]);
    }
  }

  function begin(key: string, begun: Count): boolean {
    counts.delete(key);
    dropEnded();
    const gone = counts.size >= mostKeys ? oldest() : undefined;
    if (gone) counts.delete(gone[0]);
    counts.set(key, begun);
    return gone !== undefined;
  }

  return {
    find,
    isEmpty() {
      dropEnded();
      return counts.size === 0;
    },
    add(key) {
      const found = find(key);
      const counted = found ?? { count: 0, endsAt: performance.now() + windowMs };
      counted.count += 1;
      return { counted, madeRoom: !found && begin(key, counted) };
    },
    raise(key, count, leftMs) {
      const found = find(key);
      if (found && found.count >= count) return;
      if (found) found.count = count;
      else begin(key, { count, endsAt: performance.now() + leftMs });
    },
    takeBack(key, counted) {
      counted.count -= 1;
      if (counted.count <= 0 && counts.get(key) === counted) counts.delete(key);
    },
    forget: (key) => void counts.delete(key),
  };
}
