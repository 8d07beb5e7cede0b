export { type Count, createLocalCounts, type LocalCounts } from './local-counts.ts';
export { networkOf, plainAddress } from './network.ts';
