import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { createMemoryProofIds } from '@gatehouse/auth-middleware';
import { demoAccounts } from '@gatehouse/demo-data';
import { createMemoryDenylist } from '@gatehouse/denylist';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { createHealth, createLogger, createMetrics, type Db, openDatabase } from '@gatehouse/service-kit';
import { type Browser, createBrowser, listenApp, type Page } from '@gatehouse/test-kit';
import { createAccountStore } from '../src/accounts/accounts.ts';
import { createAuthApp } from '../src/app.ts';
import { createAuditLog } from '../src/audit/audit-log.ts';
import { deviceGrant, publicClient, type RegisteredClient } from '../src/clients/clients.ts';
import { demoClients, demoLogins } from '../src/demo.ts';
import { openKeyRing } from '../src/keys/key-ring.ts';
import { createLimits } from '../src/limits/limits.ts';
import { createVault } from '../src/protocol/vault.ts';
import { createRevocations } from '../src/revocation/revocation.ts';
import { consents } from '../src/schema.ts';
import { createLogoutDeliveries } from '../src/sessions/logout-deliveries.ts';
import { authorizeUrl, issuer } from './start-test-auth.ts';

export { callback, issuer } from './start-test-auth.ts';

export const { alice, bob, carol } = demoAccounts;
export const alicePassword = 'alice-demo-pass';

/** What the addresses and names of hostile clients are made of: it would run in any place that forgets to escape. */
export const polyglot = `"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;{{7*7}}\${7*7}javascript:/*`;

const testClients: RegisteredClient[] = [
  publicClient({
    client_id: 'hostile',
    client_name: polyglot,
    grant_types: ['authorization_code', deviceGrant],
    redirect_uris: ['http://localhost:9999/callback'],
    allowed_scopes: 'items:read',
  }),
  publicClient({
    client_id: 'native',
    client_name: 'Native application',
    application_type: 'native',
    grant_types: ['authorization_code', deviceGrant],
    redirect_uris: [
      'com.example.cli:/callback',
      'com.example.cli://bank.example/callback',
      'http://127.0.0.1/callback',
      'http://[::1]/callback',
    ],
    allowed_scopes: 'items:read',
  }),
];

const encryptionKey = randomBytes(32).toString('base64url');

/** A database in memory with the demo accounts in it. */
export async function openAuthDatabase(): Promise<{ db: Db; close(): Promise<void> }> {
  const embedded = await openEmbeddedPostgres(undefined);
  const migrations = new URL('../migrations', import.meta.url);
  const logger = createLogger({ name: 'auth', level: 'silent' });
  const { db } = await openDatabase({ embedded }, { name: 'auth', migrations, logger });
  await createAccountStore(db).seed(demoLogins);
  return { db, close: () => embedded.close() };
}

/**
 * The whole authorization server on `db`, where nobody has allowed anything yet, until the test ends; a browser finds it
 * at the issuer's address.
 */
export async function startInteractionApp(t: TestContext, db: Db) {
  await db.delete(consents);
  const log: string[] = [];
  const logger = createLogger({ name: 'auth', level: 'info' }, { write: (line) => void log.push(line) });
  const revocations = createRevocations({ db, denylist: createMemoryDenylist(), logger });
  t.after(() => revocations.close());
  const vault = createVault(encryptionKey);
  const keys = await openKeyRing({ db, vault, logger, rotationDays: 90, publishSeconds: 90 });
  t.after(() => keys.close());
  const metrics = createMetrics('auth');
  const audit = createAuditLog({ db, metrics, logger });
  t.after(() => audit.close());
  const clients = [...demoClients({ issuer, allowPasswordGrant: false }), ...testClients];
  const logouts = createLogoutDeliveries({ db, vault, clients, logger, metrics });
  t.after(() => logouts.close());
  const app = createAuthApp({
    issuer,
    allowPasswordGrant: false,
    allowRegistration: true,
    keyPublishSeconds: 0,
    clients,
    logouts,
    db,
    accounts: createAccountStore(db),
    vault,
    keys,
    revocations,
    refreshGraceMs: 0,
    exchangePolicies: [],
    health: createHealth({}, logger),
    logger,
    limits: createLimits({ vault, logger, metrics }),
    proofIds: createMemoryProofIds(),
    audit,
    metrics,
  });
  const listening = await listenApp(app);
  t.after(() => listening.close());

  const requestUrl = (changes: Record<string, string> = {}) =>
    authorizeUrl({ scope: 'openid profile items:read', prompt: undefined, ...changes });
  const open = (browser: Browser, changes?: Record<string, string>): Promise<Page> =>
    browser.open(requestUrl(changes));
  return {
    /** The lines that the server logged. */
    log,
    browser: () => createBrowser({ connectTo: { [issuer]: listening.url } }),
    /** Sends the browser to /authorize: the sign-in page, when nobody is signed in. */
    open,
    /** Signs in, which ends on the consent page. */
    signIn: async (browser: Browser, changes?: Record<string, string>, username = 'alice'): Promise<Page> =>
      browser.submit(await open(browser, changes), { username, password: `${username}-demo-pass` }),
  };
}
