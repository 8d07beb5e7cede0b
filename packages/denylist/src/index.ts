export {
  type DenylistReader,
  DenylistUnavailable,
  type DenylistWriter,
  type Revocation,
  type TokenReference,
} from './denylist.ts';
export { createMemoryDenylist } from './memory.ts';
export { createRedisDenylistReader } from './redis-reader.ts';
export { createRedisDenylistWriter } from './redis-writer.ts';
