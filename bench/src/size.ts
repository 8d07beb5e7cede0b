/** The part of a measurement that is done, to try it: nothing is written to docs/performance.md below 1. */
export const size = Number(process.env.BENCH_SIZE ?? 1);

/** How many of `whole` that are, one at least. */
export function sized(whole: number): number {
  return Math.max(1, Math.round(whole * size));
}
