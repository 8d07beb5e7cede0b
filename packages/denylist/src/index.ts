export {
  type DenylistReader,
  DenylistUnavailable,
  type DenylistWriter,
  type Revocation,
  type TokenReference,
} from './denylist.ts';
export { createMemoryDenylist } from './memory.ts';
export { createRedisDenylistReader, type RedisDenylistReaderOptions } from './redis-reader.ts';
export { createRedisDenylistWriter, type RedisDenylistWriterOptions } from './redis-writer.ts';
