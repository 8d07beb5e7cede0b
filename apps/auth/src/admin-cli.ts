import { ConfigError, createLogger, loadConfig, openDatabase } from '@gatehouse/service-kit';
import { eq } from 'drizzle-orm';
import { normalizeUsername } from './accounts/accounts.ts';
import { insertAuditEvents } from './audit/audit-log.ts';
import { AuthConfigSchema } from './config.ts';
import { accounts } from './schema.ts';

// Only an administrator makes another one at /users; somebody has to make the first.
const usage = 'usage: make-admin <username>';
const ConfigSchema = AuthConfigSchema.pick({ DATABASE_URL: true }).required();

async function run([typed, ...rest]: string[]): Promise<void> {
  if (typed === undefined || rest.length > 0) throw new Error(usage);
  const { DATABASE_URL: url } = loadConfig(ConfigSchema, process.env);
  const logger = createLogger({ name: 'make-admin', level: 'error' });
  const migrations = new URL('../migrations', import.meta.url);
  const { db, close } = await openDatabase({ url }, { name: 'auth', migrations, logger });
  try {
    await db.transaction(async (tx) => {
      const username = normalizeUsername(typed);
      const [account] = await tx.select().from(accounts).where(eq(accounts.username, username)).for('update');
      if (!account) throw new Error(`no account ${username}`);
      if (account.disabledAt) throw new Error(`the account ${username} is disabled`);
      const roles = [...new Set([...account.roles, 'admin'])];
      await tx.update(accounts).set({ roles }).where(eq(accounts.id, account.id));
      const act = { accountId: account.id, actorId: 'command line', detail: { roles } };
      await insertAuditEvents(tx, [{ event: 'roles-change', outcome: 'success', ...act }]);
      process.stdout.write(`${username} is an administrator: the next access token says so\n`);
    });
  } finally {
    await close();
  }
}

run(process.argv.slice(2)).catch((error: Error) => {
  const lines = error instanceof ConfigError ? error.faults : [error.message];
  for (const line of lines) process.stderr.write(`make-admin: ${line}\n`);
  process.exitCode = error instanceof ConfigError ? 78 : 1;
});
