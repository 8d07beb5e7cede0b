/** Remembers at most `size` values; those not asked for lately are forgotten first. */
export interface TokenCache<Value> {
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
  clear(): void;
}

interface Entry<Value> {
  value: Value;
  wasAsked: boolean;
}

// So that nobody who brings a new token waits until all of the others have had their second chance.
const mostChances = 10;

/**
 * An empty cache whose oldest value makes room, unless it was asked for since it became the oldest but one round ago
 * (CLOCK): a hit costs one look-up, where reordering on every hit would cost three.
 */
export function createTokenCache<Value>(size: number): TokenCache<Value> {
  const entries = new Map<string, Entry<Value>>();
  // Stays where it is between calls: a new one would begin among what is left of all that was deleted.
  const oldest = entries.entries();

  function makeRoom(): void {
    for (let chances = mostChances; ; chances--) {
      const [key, entry] = oldest.next().value as [string, Entry<Value>];
      entries.delete(key);
      if (!entry.wasAsked || chances === 0) return;
      entry.wasAsked = false;
      entries.set(key, entry);
    }
  }

  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entry.wasAsked = true;
      return entry.value;
    },
    set(key, value) {
      if (entries.size >= size && !entries.has(key)) makeRoom();
      entries.set(key, { value, wasAsked: false });
    },
    clear: () => entries.clear(),
  };
}
