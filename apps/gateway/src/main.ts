import { loadConfig, refineForProduction, refineTls, runProcess } from '@gatehouse/service-kit/core';
import { GatewayConfigSchema } from './config.ts';
import { startGateway } from './start.ts';

runProcess('gateway', (env) =>
  startGateway(
    loadConfig(refineForProduction(refineTls(GatewayConfigSchema.required({ REDIS_URL: true }))), env),
  ),
);
