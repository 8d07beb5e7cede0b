import { loadConfig, refineForProduction, runProcess } from '@gatehouse/service-kit';
import { startAuth } from './app.ts';
import { AuthConfigSchema } from './config.ts';

runProcess('auth', (env) => {
  const schema = AuthConfigSchema.required({ DATABASE_URL: true, REDIS_URL: true });
  return startAuth(loadConfig(refineForProduction(schema), env));
});
