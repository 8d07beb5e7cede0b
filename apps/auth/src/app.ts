import { createRedisDenylistWriter, type DenylistWriter } from '@gatehouse/denylist';
import { createRedisClient } from '@gatehouse/redis';
import {
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
  requestContext,
  requireSetting,
  type SharedParts,
  serve,
} from '@gatehouse/service-kit';
import express, { type Express } from 'express';
import type { Provider } from 'oidc-provider';
import { createAccountAccess } from './accounts/account-access.ts';
import { accountRouter } from './accounts/account-routes.ts';
import { type AccountStore, createAccountStore } from './accounts/accounts.ts';
import { accountsApi } from './accounts/accounts-api.ts';
import { registerRouter } from './accounts/register-routes.ts';
import { type AuditLog, createAuditLog } from './audit/audit-log.ts';
import { withAudit } from './audit/audited-adapter.ts';
import type { RegisteredClient } from './clients/clients.ts';
import { clientsOf } from './clients/configured-clients.ts';
import type { AuthConfig } from './config.ts';
import { demoLogins } from './demo.ts';
import { accountOfIdentity } from './federation/federated-accounts.ts';
import { createFederation, type FederatedIdentity, federationCallback } from './federation/federation.ts';
import { createFederationAttempts } from './federation/federation-attempts.ts';
import { type FederationSettings, federationSettings } from './federation/federation-settings.ts';
import { createDeviceCodes } from './grants/device-codes.ts';
import { paceDeviceGrant, withUserCodes } from './grants/device-grant.ts';
import { createExchangedTokens } from './grants/exchanged-tokens.ts';
import { registerPasswordGrant } from './grants/password-grant.ts';
import { type ExchangePolicy, exchangePolicies, registerTokenExchange } from './grants/token-exchange.ts';
import { startHousekeeping } from './housekeeping.ts';
import { createConsentStore } from './interaction/consents.ts';
import { interactionRouter } from './interaction/interaction.ts';
import { createRememberedGrants } from './interaction/remembered-grants.ts';
import { type KeyRing, openKeyRing, type ServedKeys } from './keys/key-ring.ts';
import { publicPart } from './keys/keys.ts';
import { limitProtocol } from './limits/limit-protocol.ts';
import { createLimits, type Limits } from './limits/limits.ts';
import { createAdapterFactory } from './protocol/adapter.ts';
import { sendLogoutToken } from './protocol/ended-sessions.ts';
import { oauthEndpoints } from './protocol/endpoints.ts';
import { securityHeaders, speakAsIssuer } from './protocol/headers.ts';
import { publishOnly } from './protocol/mend-provider.ts';
import { createProvider } from './protocol/provider.ts';
import { createVault, type Vault } from './protocol/vault.ts';
import { createIssuedTokenReader } from './revocation/issued-token.ts';
import { createPresentedTokens } from './revocation/presented-tokens.ts';
import { createRevocations, type Revocations } from './revocation/revocation.ts';
import { acceptIssuedTokens, createIsLive } from './revocation/token-status.ts';
import { createLogoutDeliveries, type LogoutDeliveries } from './sessions/logout-deliveries.ts';
import { createSessions } from './sessions/sessions.ts';

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
  exchangePolicies: readonly ExchangePolicy[];
  limits: Limits;
  audit: AuditLog;
  health: Health;
  logger: Logger;
  metrics: Metrics;
}

/** The authorization server as an Express app: its own pages first, then the protocol, then one exit for every error. */
export function createAuthApp(deps: AuthDependencies): Express {
  const { issuer, db, accounts, vault, revocations, refreshGraceMs, audit, logger } = deps;
  const presented = createPresentedTokens();
  const deviceCodes = createDeviceCodes(db, vault);
  const consents = createConsentStore(db);
  const sessions = createSessions({ db, vault, deliveries: deps.logouts });
  const access = createAccountAccess({ db, vault, revocations, sessions });
  const grants = createRememberedGrants({ consents, revocations });
  const served = servedBy(deps.keys, ({ published, remembered }) => {
    const readIssuedToken = createIssuedTokenReader(issuer, published.map(publicPart));

    const provider = createProvider({
      ...deps,
      grants,
      sessions,
      adapter: withUserCodes(
        withAudit(
          createAdapterFactory({ db, vault, revocations, sessions, presented, refreshGraceMs, audit }),
          audit,
        ),
        deviceCodes,
      ),
      signingKeys: [...published, ...remembered],
      cookieKey: vault.derive('cookies').toString('base64url'),
    });
    limitProtocol(provider, deps.limits);
    paceDeviceGrant(provider, deviceCodes);
    if (deps.allowPasswordGrant) registerPasswordGrant(provider, deps);
    registerTokenExchange(provider, {
      readIssuedToken,
      isLive: createIsLive({ revocations, accounts }),
      exchanged: createExchangedTokens(db, vault),
      policies: deps.exchangePolicies,
    });
    provider.use(acceptIssuedTokens({ readIssuedToken, revocations, accounts, presented }));
    publishOnly(provider, published);
    return provider;
  });

  deps.logouts.start((ended) => sendLogoutToken(served().provider, ended));

  const csrfSecret = vault.derive('csrf');
  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', 'simple');
  app.use(requestContext(deps));
  app.use(securityHeaders(issuer));
  app.use(speakAsIssuer(issuer));
  app.use(deps.health.router);
  const signInElsewhere = deps.federation && {
    federation: createFederation({
      settings: deps.federation,
      attempts: createFederationAttempts(db, vault),
      redirectUri: issuer + federationCallback,
      logger,
    }),
    accountOf: (identity: FederatedIdentity) => accountOfIdentity(db, identity),
  };
  app.use(
    interactionRouter({ ...deps, provider: () => served().provider, grants, csrfSecret, signInElsewhere }),
  );
  const ownPages = { ...deps, provider: () => served().provider, csrfSecret };
  if (deps.allowRegistration) app.use(registerRouter(ownPages));
  app.use(accountRouter({ ...ownPages, consents, access }));
  app.use(accountsApi({ ...deps, access, publicKeys: () => served().publicKeys }));
  app.use(oauthEndpoints((req, res) => served().answer(req, res)));
  app.use(notFound);
  app.use(problemHandler(logger));
  return app;
}

/** The provider for the keys of the moment: oidc-provider knows the keys that it was made with, and is quickly made. */
function servedBy(ring: KeyRing, make: (keys: ServedKeys) => Provider) {
  const serve = (keys: ServedKeys) => {
    const provider = make(keys);
    const publicKeys = { keys: keys.published.map(publicPart) };
    return { keys, publicKeys, provider, answer: provider.callback() };
  };
  let served = serve(ring.current());
  return () => {
    const keys = ring.current();
    if (keys !== served.keys) served = serve(keys);
    return served;
  };
}

/** What the authorization server may share with services in the same process. */
export type AuthShared = Partial<Omit<SharedParts, 'denylist'> & { denylist: DenylistWriter }>;

const redisDeadlines = { commandTimeout: 150, socketTimeout: 1000, retryStrategy: () => 200 };

/** Opens what the configuration names, serves the app, and keeps the denylist complete until `close`. */
export async function startAuth(
  config: AuthConfig,
  shared: AuthShared = {},
  policy = { exchangePolicies },
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
    config.REDIS_URL === undefined ? undefined : createRedisClient(config.REDIS_URL, redisDeadlines);
  opening.defer(() => redis?.disconnect());
  const limits = createLimits({ redis, vault, logger, metrics });

  const issuer = config.ISSUER;
  const allowPasswordGrant = config.ALLOW_PASSWORD_GRANT;
  const health = createHealth({ database: database.ping }, logger);
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
    exchangePolicies: policy.exchangePolicies,
    limits,
    audit,
    health,
    logger,
    metrics,
  });

  return await serve(app, { config, health, metrics, logger }, opening);
}
