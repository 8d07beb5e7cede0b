import { AuthConfigSchema, startAuth } from '@gatehouse/auth';
import { loadConfig } from '@gatehouse/service-kit';
import { runTarget } from '../target.ts';

// Everything on, as in production: PostgreSQL, Redis, helmet, metrics, the audit log, and the access log to /dev/null.
await runTarget(async (env: Record<string, string>) => {
  const { listener } = await startAuth(loadConfig(AuthConfigSchema, env));
  return listener.port;
});
