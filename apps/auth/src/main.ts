import { loadConfig, runProcess } from '@gatehouse/service-kit';
import { startAuth } from './app.ts';
import { AuthProcessConfigSchema } from './config.ts';

runProcess('auth', (env) => startAuth(loadConfig(AuthProcessConfigSchema, env)));
