import { createMemoryProofIds, createRedisProofIds, type ProofIds } from '@gatehouse/auth-middleware';
import { createRedisDenylistWriter, type DenylistWriter } from '@gatehouse/denylist';
import { createFitnessCheck, createRedisClient, requestDeadlines } from '@gatehouse/redis';
import {
  compose,
  createHealth,
  createLogger,
  createMetrics,
  type Db,
  type Health,
  type Logger,
  type Metrics,
  notFound,
  openDatabase,
  problemHandler,
  type RunningService,
  readIn,
  requestContext,
  requireSetting,
  type SharedParts,
  serve,
} from '@gatehouse/service-kit';
import express, { type Express } from 'express';
import { createAccountAccess } from './accounts/account-access.ts';
import { accountRouter } from './accounts/account-routes.ts';
import { type AccountStore, createAccountStore } from './accounts/accounts.ts';
import { accountsApi } from './accounts/accounts-api.ts';
import { registerRouter } from './accounts/register-routes.ts';
import { adminApi } from './admin/admin-api.ts';
import { type AuditLog, createAuditLog } from './audit/audit-log.ts';
import type { RegisteredClient } from './clients/clients.ts';
import { clientsOf } from './clients/configured-clients.ts';
import type { AuthConfig } from './config.ts';
import { demoExchangePolicies, demoLogins } from './demo.ts';
import { createFederationSignIn } from './federation/federation-routes.ts';
import { type FederationSettings, federationSettings } from './federation/federation-settings.ts';
import { type ExchangePolicy, exchangePolicies } from './grants/token-exchange.ts';
import { startHousekeeping } from './housekeeping.ts';
import { createConsentStore } from './interaction/consents.ts';
import { interactionRouter } from './interaction/interaction.ts';
import { createRememberedGrants } from './interaction/remembered-grants.ts';
import { type KeyRing, openKeyRing } from './keys/key-ring.ts';
import { createLimits, type Limits } from './limits/limits.ts';
import { createCurrentProvider } from './protocol/current-provider.ts';
import { sendLogoutToken } from './protocol/ended-sessions.ts';
import { oauthEndpoints } from './protocol/endpoints.ts';
import { securityHeaders, speakAsIssuer } from './protocol/headers.ts';
import { createVault, type Vault } from './protocol/vault.ts';
import { createRevocations, type Revocations } from './revocation/revocation.ts';
import { createLogoutDeliveries, type LogoutDeliveries } from './sessions/logout-deliveries.ts';
import { createSessions } from './sessions/sessions.ts';

export { adminRoutes } from './admin/admin-api.ts';
export { type AuthConfig, AuthConfigSchema, policyVariables } from './config.ts';
export { demoLogins } from './demo.ts';
export { federationVariables } from './federation/federation-settings.ts';

interface AuthDependencies {
  issuer: string;
  allowPasswordGrant: boolean;
  allowRegistration: boolean;
  federation?: FederationSettings | undefined;
  clients: readonly RegisteredClient[];
  db: Db;
  accounts: AccountStore;
  vault: Vault;
  keys: KeyRing;
  revocations: Revocations;
  logouts: LogoutDeliveries;
  refreshGraceMs: number;
  keyPublishSeconds: number;
  exchangePolicies: readonly ExchangePolicy[];
  limits: Limits;
  /** Of proofs that came to our own APIs; those of the protocol's endpoints are in the database. */
  proofIds: ProofIds;
  audit: AuditLog;
  health: Health;
  logger: Logger;
  metrics: Metrics;
}

/** The authorization server as an Express app: the protocol first, then its own pages, then one exit for every error. */
export function createAuthApp(deps: AuthDependencies): Express {
  const { issuer, db, vault, revocations, logger } = deps;
  const consents = createConsentStore(db);
  const sessions = createSessions({ db, vault, deliveries: deps.logouts });
  const access = createAccountAccess({ db, vault, revocations, sessions });
  const grants = createRememberedGrants({ consents, revocations });
  const current = createCurrentProvider({ ...deps, grants, sessions });
  const provider = () => current().provider;

  deps.logouts.start((ended) => sendLogoutToken(provider(), ended));

  const app = express();
  app.disable('x-powered-by').disable('etag').enable('case sensitive routing').set('query parser', 'simple');
  app.use(compose(requestContext(deps), securityHeaders(issuer), speakAsIssuer(issuer)));
  app.use('/health', deps.health.router);
  // In front of the pages, as nobody asks for anything else so often.
  app.use(oauthEndpoints((req, res) => current().answer(req, res)));
  const ownPages = { ...deps, provider, csrfSecret: vault.derive('csrf') };
  const signInElsewhere = deps.federation && createFederationSignIn({ ...deps, settings: deps.federation });
  app.use(interactionRouter({ ...ownPages, grants, signInElsewhere }));
  if (deps.allowRegistration) app.use(registerRouter(ownPages));
  app.use(accountRouter({ ...ownPages, consents, access }));
  const publicKeys = () => current().publicKeys;
  app.use(accountsApi({ ...deps, access, publicKeys }));
  app.use(adminApi({ ...deps, access, consents, publicKeys }));
  app.use(notFound);
  app.use(problemHandler(logger));
  return app;
}

/** What the authorization server may share with services in the same process. */
export type AuthShared = Partial<Omit<SharedParts, 'denylist'> & { denylist: DenylistWriter }>;

/** Opens what the configuration names, serves the app, and keeps the denylist complete until `close`. */
export async function startAuth(
  config: AuthConfig,
  shared: AuthShared = {},
  policy = {
    exchangePolicies: config.DEMO ? [...exchangePolicies, ...demoExchangePolicies] : exchangePolicies,
  },
): Promise<RunningService> {
  const federation = federationSettings(config);
  const clients = clientsOf(config);
  await using opening = new AsyncDisposableStack();
  const logger = shared.logger ?? createLogger({ name: 'auth', level: config.LOG_LEVEL });
  const metrics = shared.metrics ?? createMetrics('auth');

  const source = { url: config.DATABASE_URL, embedded: shared.embedded };
  const migrations = new URL('../migrations', import.meta.url);
  const database = await openDatabase(source, { name: 'auth', migrations, logger });
  opening.defer(() => database.close());
  const { db } = database;
  const audit = createAuditLog({ db, metrics, logger });
  opening.defer(() => audit.close());
  const accounts = createAccountStore(db);
  if (config.DEMO) await accounts.seed(demoLogins);

  const denylist =
    shared.denylist ?? createRedisDenylistWriter({ url: requireSetting(config.REDIS_URL, 'REDIS_URL') });
  if (!shared.denylist) opening.defer(() => denylist.close());
  const revocations = createRevocations({ db, denylist, logger });
  opening.defer(() => revocations.close());
  readIn(
    metrics.registry,
    {
      type: 'gauge',
      name: 'auth_denylist_delivery_age_seconds',
      help: 'Time since the denylist was seen to have all that is revoked',
      labelNames: [],
    },
    () => [{ labels: {}, value: revocations.deliveryAge() }],
  );
  // Signing in works without the denylist; it is completed as soon as it answers.
  await revocations.deliver().catch((err) => logger.warn({ err }, 'the denylist does not answer yet'));
  const housekeeping = startHousekeeping(db, logger, { auditRetentionDays: config.AUDIT_RETENTION_DAYS });
  opening.defer(() => housekeeping.stop());

  const vault = createVault(config.ENCRYPTION_KEY);
  const keys = await openKeyRing({
    db,
    vault,
    logger,
    rotationDays: config.KEY_ROTATION_DAYS,
    publishSeconds: config.KEY_PUBLISH_SECONDS,
    onChange: (event) => audit.count({ event, outcome: 'success' }),
  });
  opening.defer(() => keys.close());

  const redis =
    config.REDIS_URL === undefined ? undefined : createRedisClient(config.REDIS_URL, requestDeadlines);
  opening.defer(() => redis?.disconnect());
  const limits = createLimits({ redis, vault, logger, metrics });

  const proofIds = config.REDIS_URL
    ? createRedisProofIds({ url: config.REDIS_URL, verifier: 'auth' })
    : createMemoryProofIds();
  opening.defer(() => proofIds.close());

  const issuer = config.ISSUER;
  const allowPasswordGrant = config.ALLOW_PASSWORD_GRANT;
  const checks = { database: database.ping, ...(redis && { redis: createFitnessCheck(redis) }) };
  const health = createHealth(checks, logger);
  const logouts = createLogoutDeliveries({ db, vault, clients, logger, metrics });
  opening.defer(() => logouts.close());
  const app = createAuthApp({
    issuer,
    allowPasswordGrant,
    allowRegistration: config.REGISTRATION ?? config.DEMO,
    federation,
    clients,
    db,
    accounts,
    vault,
    keys,
    revocations,
    logouts,
    refreshGraceMs: config.REFRESH_GRACE_SECONDS * 1000,
    keyPublishSeconds: config.KEY_PUBLISH_SECONDS,
    exchangePolicies: policy.exchangePolicies,
    limits,
    proofIds,
    audit,
    health,
    logger,
    metrics,
  });

  return await serve(app, { config, health, metrics, logger }, opening);
}
