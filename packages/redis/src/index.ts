export { createRedisClient } from './redis-client.ts';
