import type { Importance, UpstreamName } from './upstreams.ts';

/** What decides about the order in which requests that wait are let in. */
export interface Waiting {
  readonly importance: Importance;
  /** Where it will be forwarded, if it will. */
  readonly to: UpstreamName | undefined;
  readonly network: { readonly name: string };
  /** When it came, in milliseconds of `performance.now()`. */
  readonly since: number;
}

/** Those of one network that want to the same place, in the order of their arrival. */
type Line<Entry> = Set<Entry>;

/** Requests that wait: the most important first, and of those that are as important one of each network in turn. */
export interface WaitingRoom<Entry extends Waiting> {
  readonly size: number;
  add(entry: Entry): void;
  delete(entry: Entry): void;
  /** Takes out one after the other; of a network the next one to a place is passed over when `mayEnter` says no. */
  takeWhere(mayEnter: (entry: Entry) => boolean): Iterable<Entry>;
  /** Takes out those that came before this time. */
  takeOlder(than: number): Iterable<Entry>;
}

export function createWaitingRoom<Entry extends Waiting>(): WaitingRoom<Entry> {
  const levels: Record<Importance, Map<string, Line<Entry>>> = {
    vital: new Map(),
    writes: new Map(),
    reads: new Map(),
    docs: new Map(),
  };
  let size = 0;

  const nameOf = ({ to, network }: Entry) => `${to} ${network.name}`;

  function remove(entry: Entry): void {
    const lines = levels[entry.importance];
    const name = nameOf(entry);
    const line = lines.get(name);
    if (!line?.delete(entry)) return;
    size--;
    if (line.size === 0) lines.delete(name);
  }

  return {
    get size() {
      return size;
    },
    add(entry) {
      const lines = levels[entry.importance];
      const name = nameOf(entry);
      const line = lines.get(name);
      if (line) line.add(entry);
      else lines.set(name, new Set([entry]));
      size++;
    },
    delete: remove,
    *takeWhere(mayEnter) {
      for (const lines of Object.values(levels))
        for (const [name, line] of lines) {
          const [first] = line;
          if (first === undefined || !mayEnter(first)) continue;
          // Behind the others, where this loop comes by again.
          lines.delete(name);
          lines.set(name, line);
          remove(first);
          yield first;
        }
    },
    *takeOlder(than) {
      for (const lines of Object.values(levels))
        for (const line of lines.values())
          for (const entry of line) {
            if (entry.since >= than) break;
            remove(entry);
            yield entry;
          }
    },
  };
}
