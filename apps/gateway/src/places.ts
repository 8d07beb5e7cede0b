/**
 * Bodies on their way in that nobody has been asked about yet, requests with the upstream or waiting for it, and those
 * of them whose body is still on its way.
 */
export type Place = 'collecting' | 'inFlight' | 'streaming';

/** How many requests of one upstream are in each place, and how many may be. */
export class Places {
  readonly #capacity: Readonly<Record<Place, number>>;
  readonly #taken: Record<Place, number> = { collecting: 0, inFlight: 0, streaming: 0 };

  constructor(capacity: Readonly<Record<Place, number>>) {
    this.#capacity = capacity;
  }

  isFull(place: Place): boolean {
    return this.#taken[place] >= this.#capacity[place];
  }

  /** @returns whether there was room */
  take(place: Place): boolean {
    if (this.isFull(place)) return false;
    this.#taken[place]++;
    return true;
  }

  leave(place: Place): void {
    this.#taken[place]--;
  }
}
