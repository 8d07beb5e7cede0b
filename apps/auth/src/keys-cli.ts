import { ConfigError, createLogger, loadConfig, openDatabase } from '@gatehouse/service-kit';
import { AuthConfigSchema } from './config.ts';
import { listKeys, loadSigningKeys, removeKey, rotateKeys } from './keys/keys.ts';
import { createVault } from './protocol/vault.ts';

const actor = 'command line';
const usage = 'usage: keys list | rotate | remove <kid>';

const ConfigSchema = AuthConfigSchema.pick({
  DATABASE_URL: true,
  ENCRYPTION_KEY: true,
  KEY_PUBLISH_SECONDS: true,
}).required({ DATABASE_URL: true });

async function run([command, kid, ...rest]: string[]): Promise<void> {
  const isComplete = command === 'remove' ? kid !== undefined : kid === undefined;
  if (!['list', 'rotate', 'remove'].includes(command ?? '') || !isComplete || rest.length > 0) {
    throw new Error(usage);
  }
  const config = loadConfig(ConfigSchema, process.env);
  const logger = createLogger({ name: 'keys', level: 'error' });
  const migrations = new URL('../migrations', import.meta.url);
  const database = await openDatabase({ url: config.DATABASE_URL }, { name: 'auth', migrations, logger });
  const vault = createVault(config.ENCRYPTION_KEY);
  try {
    // A key sealed with another secret would stop every process.
    await loadSigningKeys(database.db, vault);
    if (command === 'rotate') {
      await rotateKeys(database.db, vault, { publishSeconds: config.KEY_PUBLISH_SECONDS, actor });
    }
    if (command === 'remove' && kid) await removeKey(database.db, vault, kid, actor);
    for (const { kid: name, stage, createdAt, signsFrom } of await listKeys(database.db)) {
      const line = [name, stage, `made ${createdAt.toISOString()}`, `signs from ${signsFrom.toISOString()}`];
      process.stdout.write(`${line.join('  ')}\n`);
    }
  } finally {
    await database.close();
  }
}

run(process.argv.slice(2)).catch((error: Error) => {
  const lines = error instanceof ConfigError ? error.faults : [error.message];
  for (const line of lines) process.stderr.write(`keys: ${line}\n`);
  process.exitCode = error instanceof ConfigError ? 78 : 1;
});
