export { createFitnessCheck, RedisUnfit, requireFit } from './fitness.ts';
export { createRedisClient, requestDeadlines } from './redis-client.ts';
export { isRedisUrl, isSentinelUrl } from './redis-url.ts';
