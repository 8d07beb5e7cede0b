/** Remembers at most `size` values; those not asked for lately are forgotten first. */
export interface TokenCache<Value> {
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
  clear(): void;
}

/**
 * An empty cache of two generations: when the young one is full it becomes the old one, and the old one is dropped.
 * A hit costs one look-up, where reordering on every hit would cost three.
 */
export function createTokenCache<Value>(size: number): TokenCache<Value> {
  const generationSize = Math.max(1, Math.floor(size / 2));
  let young = new Map<string, Value>();
  let old = new Map<string, Value>();

  const set = (key: string, value: Value) => {
    if (young.size >= generationSize) {
      old = young;
      young = new Map();
    }
    young.set(key, value);
  };

  return {
    get(key) {
      const value = young.get(key);
      if (value !== undefined) return value;
      const survivor = old.get(key);
      if (survivor !== undefined) set(key, survivor);
      return survivor;
    },
    set,
    clear() {
      young = new Map();
      old = new Map();
    },
  };
}
