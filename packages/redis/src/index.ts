export { createRedisClient, requestDeadlines } from './redis-client.ts';
