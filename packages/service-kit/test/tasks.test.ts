import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createMemoryDenylist } from '@gatehouse/denylist';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { createTestIssuer } from '@gatehouse/test-kit';
import { createLogger, type Service, ServiceConfigSchema, startService } from '../src/index.ts';

const issuer = await createTestIssuer();
const embedded = await openEmbeddedPostgres(undefined);
after(async () => {
  await embedded.close();
  await issuer.close();
});

test('tasks run again and again, also after a failure, one run at a time, and none once the service is closed', async () => {
  const log: { msg: string; task?: string }[] = [];
  const logger = createLogger({ level: 'info' }, { write: (line: string) => log.push(JSON.parse(line)) });
  let [runs, running] = [0, 0];
  const reached = Promise.withResolvers<void>();
  const service: Service = {
    name: 'working',
    description: '',
    audience: 'urn:working',
    config: ServiceConfigSchema,
    migrations: new URL('fixtures/migrations', import.meta.url),
    seed: async () => {},
    routes: () => [],
    tasks: () => ({
      async work() {
        assert.equal(running++, 0);
        await delay(5);
        running--;
        if (++runs === 3) reached.resolve();
        if (runs < 3) throw new Error('no luck');
      },
    }),
  };
  const config = ServiceConfigSchema.parse({ PORT: '0', ISSUER: issuer.issuer, JWKS_URI: issuer.jwksUri });
  const { close } = await startService(service, config, {
    embedded,
    denylist: createMemoryDenylist(),
    logger,
  });
  await reached.promise;
  await close();
  const runsAtTheEnd = runs;
  await delay(1_600);
  assert.equal(runs, runsAtTheEnd);
  assert.equal(running, 0);
  const told = log.flatMap(({ msg, task }) => (task === 'work' ? [msg] : []));
  assert.deepEqual(told, ['failing, will be tried again', 'succeeds again']);
});
