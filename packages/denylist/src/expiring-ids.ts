import { hash } from 'node:crypto';

/** Ids of any form, each with the time until which it is kept. */
export interface ExpiringIds {
  /** Keeps `id` until `exp` (epoch seconds), or as long as before where that is longer. */
  prolong(id: string, exp: number): void;
  has(id: string): boolean;
  /** Forgets every id that was to be kept until before `oldest` (epoch seconds), and no other. */
  forgetBefore(oldest: number): void;
  size(): number;
}

// Half of a SHA-256: ids of every form become 16 bytes, and nobody finds two with the same.
const idWords = 4;
// Behind the id its time, which is 0 in a slot that is free.
const slotWords = idWords + 1;
const fewestSlots = 1024;
const latestExp = 2 ** 32 - 1;

/**
 * An empty collection: a hash table with linear probing in one array of numbers. In a Map of texts an id takes twice the
 * room, and V8 walks over all of them whenever it looks for garbage.
 */
export function createExpiringIds(): ExpiringIds {
  let slots = new Uint32Array(fewestSlots * slotWords);
  let slotCount = fewestSlots;
  let used = 0;
  const wanted = new Uint32Array(idWords);
  const wantedBytes = Buffer.from(wanted.buffer);

  const expAt = (at: number) => slots[at + idWords] as number;
  const homeOf = (ids: Uint32Array, at: number) => ((ids[at] as number) % slotCount) * slotWords;
  const after = (at: number) => (at + slotWords === slots.length ? 0 : at + slotWords);
  const distance = (from: number, to: number) => (to >= from ? to - from : to - from + slots.length);

  /** Where the id at `from` of `ids` is, or the free slot where it belongs. */
  function find(ids: Uint32Array, from: number): number {
    let at = homeOf(ids, from);
    while (expAt(at) !== 0 && !isSame(slots, at, ids, from)) at = after(at);
    return at;
  }

  function look(id: string): number {
    wantedBytes.write(hash('sha256', id, 'binary'), 'latin1');
    return find(wanted, 0);
  }

  function resize(count: number): void {
    const old = slots;
    slotCount = count;
    slots = new Uint32Array(count * slotWords);
    for (let from = 0; from < old.length; from += slotWords) {
      if (old[from + idWords] !== 0) slots.set(old.subarray(from, from + slotWords), find(old, from));
    }
  }

  /** Frees the slot at `gap`, and moves up what was put behind it for want of that slot. */
  function remove(gap: number): void {
    for (let at = after(gap); expAt(at) !== 0; at = after(at)) {
      if (distance(homeOf(slots, at), at) < distance(gap, at)) continue;
      slots.copyWithin(gap, at, at + slotWords);
      gap = at;
    }
    slots[gap + idWords] = 0;
    used -= 1;
  }

  return {
    prolong(id, exp) {
      const at = look(id);
      const known = expAt(at);
      slots.set(wanted, at);
      slots[at + idWords] = Math.max(known, Math.min(Math.max(Math.ceil(exp), 1), latestExp));
      if (known !== 0) return;
      used += 1;
      if (used > slotCount * 0.75) resize(slotCount * 2);
    },
    has: (id) => expAt(look(id)) !== 0,
    forgetBefore(oldest) {
      for (let at = 0; at < slots.length; ) {
        if (expAt(at) !== 0 && expAt(at) < oldest) remove(at);
        else at += slotWords;
      }
      let count = slotCount;
      while (count > fewestSlots && used < count / 8) count /= 2;
      if (count < slotCount) resize(count);
    },
    size: () => used,
  };
}

function isSame(a: Uint32Array, atA: number, b: Uint32Array, atB: number): boolean {
  return (
    a[atA] === b[atB] && a[atA + 1] === b[atB + 1] && a[atA + 2] === b[atB + 2] && a[atA + 3] === b[atB + 3]
  );
}
