import { loadConfig, refineForProduction, refineTls, runProcess } from '@gatehouse/service-kit/core';
import { startGateway } from './app.ts';
import { GatewayConfigSchema } from './config.ts';

runProcess('gateway', (env) =>
  startGateway(
    loadConfig(refineForProduction(refineTls(GatewayConfigSchema.required({ REDIS_URL: true }))), env),
  ),
);
