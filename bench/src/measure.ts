import { type Child, cpuMicroseconds } from './children.ts';

/** One row of a report: what is asked, and what a request of each round cost. */
export interface Measured extends Child {
  name: string;
  does: string;
  microseconds: number[];
}

/** How many requests a target gets: to warm up, then in each round, which has so many slices. */
export interface Plan {
  rounds: number;
  slices: number;
  warmUpRequests: number;
  measuredRequests: number;
}

/** Adds to each target the CPU time of a request in every round; `send` resolves when that many were answered. */
export async function measure<Target extends Measured>(
  targets: readonly Target[],
  { rounds, slices, warmUpRequests, measuredRequests }: Plan,
  send: (target: Target, requests: number) => Promise<void>,
): Promise<void> {
  for (const target of targets) await send(target, warmUpRequests);
  for (let round = 1; round <= rounds; round++) {
    const spent = targets.map(() => 0);
    // Interleaved in slices, so that a noisy second falls on all of them.
    for (let slice = 1; slice <= slices; slice++) {
      for (const [i, target] of targets.entries()) {
        const before = cpuMicroseconds(target.child);
        await send(target, measuredRequests / slices);
        spent[i] = (spent[i] ?? 0) + cpuMicroseconds(target.child) - before;
      }
    }
    for (const [i, target] of targets.entries()) {
      target.microseconds.push((spent[i] ?? 0) / measuredRequests);
    }
  }
}
