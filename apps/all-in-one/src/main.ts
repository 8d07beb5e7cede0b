import { loadConfig, refineForProduction, refineTls, runProcess } from '@gatehouse/service-kit';
import { banner } from './banner.ts';
import { AllInOneConfigSchema } from './config.ts';
import { startSystem } from './start.ts';

runProcess('gatehouse', async (env) => {
  const config = loadConfig(refineForProduction(refineTls(AllInOneConfigSchema)), env);
  const system = await startSystem(config);
  process.stdout.write(banner(system, { demo: config.DEMO, password: config.ALLOW_PASSWORD_GRANT }));
  process.stdout.write(`ready in ${Math.round(process.uptime() * 1000)} ms\n`);
  return system;
});
