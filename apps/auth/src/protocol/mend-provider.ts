import type { EventEmitter } from 'node:events';
import { type Logger, logFault } from '@gatehouse/service-kit';
import type { Request, Response } from 'express';
import type { JWK } from 'jose';
import { errors, type KoaContextWithOIDC, Provider } from 'oidc-provider';
import type { AuditLog } from '../audit/audit-log.ts';
import { recordAnswers } from '../audit/record-answers.ts';
import { deviceGrant, isClientSecret, tokenExchange } from '../clients/clients.ts';
import { scopesInOwnName } from '../grants/client-credentials.ts';
import type { Revocations } from '../revocation/revocation.ts';
import type { Sessions } from '../sessions/sessions.ts';
import { letTheStoreEndSessions } from './ended-sessions.ts';
import { replaceLogoutForms } from './logout-forms.ts';
import { refuseForeignForms } from './own-forms.ts';
import { letTheStoreRotate } from './refresh-grace.ts';
import { letTheStoreDetectReplays } from './replay.ts';
import { apiScopes, isApi } from './scopes.ts';
import { Unavailable } from './unavailable.ts';

interface MendDependencies {
  logger: Logger;
  audit: AuditLog;
  sessions: Pick<Sessions, 'end' | 'leave'>;
  revocations: Pick<Revocations, 'revokeAll'>;
}

/** Changes what oidc-provider has no setting for, here and in what is called here; nothing else in Gatehouse does. */
export function mendProvider(provider: Provider, deps: MendDependencies): void {
  const { logger, audit } = deps;
  adjustClients(provider);
  letTheStoreEndSessions(provider, deps);
  letTheStoreRotate(provider);
  letTheStoreDetectReplays(provider);
  provider.use(answerClients);
  provider.use(announceApiScopes);
  provider.use(answerWhileUnavailable);
  provider.use(recordAnswers(audit));
  provider.use(refuseForeignForms(provider.issuer));
  provider.use(replaceLogoutForms);
  logRefusals(provider, logger);
}

function adjustClients(provider: Provider): void {
  const { prototype } = provider.Client;
  const allows = prototype.grantTypeAllowed;
  prototype.compareClientSecret = function compareHashed(secret) {
    const isPosted = Provider.ctx?.oidc.params?.client_secret !== undefined;
    // The library takes either way of sending a secret from every client that has one.
    const isOwnWay = isPosted === (this.clientAuthMethod === 'client_secret_post');
    return isClientSecret(this.clientSecret, secret) && isOwnWay;
  };
  prototype.grantTypeAllowed = function allowedOrRefused(type) {
    const oidc = Provider.ctx?.oidc;
    const isAsked =
      oidc?.route === 'device_authorization'
        ? type === deviceGrant
        : oidc?.route === 'token' && oidc.params?.grant_type === type;
    const isAllowed = allows.call(this, type);
    // RFC 6749, 5.2 has unauthorized_client for this, where the library says invalid_request.
    if (isAsked && !isAllowed) throw new errors.UnauthorizedClient();
    // The library looks at the resource too late: after it has used up the code or the refresh token.
    const resource = isAsked ? oidc?.params?.resource : undefined;
    if (resource === undefined) return isAllowed;
    // By either of its names the API is what was granted under either. An exchange is for an audience.
    if (oidc?.params && type !== tokenExchange && isApi(resource, provider.issuer)) {
      oidc.params.resource = undefined;
    } else if (type !== 'client_credentials' || !scopesInOwnName(this, resource)) {
      throw new errors.InvalidTarget();
    }
    return isAllowed;
  };
}

/** Has `check` look at every request that brings a client's secret, before the secret is looked at. */
export function beforeSecretIsCompared(
  provider: Provider,
  check: (ctx: KoaContextWithOIDC, clientId: string) => Promise<void>,
): void {
  const { prototype } = provider.Client;
  const compare = prototype.compareClientSecret;
  prototype.compareClientSecret = async function compareWhenChecked(secret) {
    if (!Provider.ctx) throw new Error('secrets are compared for requests alone');
    await check(Provider.ctx, this.clientId);
    return compare.call(this, secret);
  };
}

const endpointsWithErrors = [
  'authorization',
  'grant',
  'device_authorization',
  'code_verification',
  'device_resume',
  'pushed_authorization_request',
  'introspection',
  'revocation',
  'userinfo',
  'end_session',
  'end_session_confirm',
];

function logRefusals(provider: Provider, logger: Logger): void {
  const events: EventEmitter = provider;
  const log = (err: errors.OIDCProviderError, ctx: KoaContextWithOIDC) => {
    const { error, error_detail, error_description, status = 500 } = err;
    const detail = error_detail ?? error_description;
    if (status >= 500) {
      const told = { status, message: error_description ?? err.message };
      return logFault(logger, err.cause ?? err, told, ctx.req as Request, ctx.res as Response);
    }
    const requestId = ctx.get('x-request-id');
    logger.info({ requestId, error, detail, clientId: ctx.oidc?.client?.clientId }, 'refused');
  };
  for (const name of endpointsWithErrors) events.on(`${name}.error`, (ctx, err) => log(err, ctx));
  events.on('backchannel.error', (ctx, err) => log(err, ctx));
  events.on('server_error', (ctx, err) => log(err, ctx));
  // Koa's own event, for what failed outside an endpoint; it has its arguments the other way round.
  events.on('error', log);
}

/** Leaves the other keys of the provider, which it only verifies hints with, out of the key set. */
export function publishOnly(provider: Provider, keys: readonly JWK[]): void {
  const kids = keys.map(({ kid }) => kid);
  provider.use(async (ctx, next) => {
    await next();
    const keySet = ctx.body as { keys: JWK[] } | undefined;
    if (ctx.oidc?.route !== 'jwks' || !keySet?.keys) return;
    ctx.body = { keys: keySet.keys.filter(({ kid }) => kids.includes(kid)) };
  });
}

type Next = () => Promise<void>;

const clientEndpoints = ['/par', '/token', '/introspect', '/revoke', '/device/authorize'];
const isNoAuthentication = [
  'no client authentication mechanism provided',
  'invalid authorization header value format',
  'client_id and client_secret in the authorization header are not properly encoded',
  'client_secret must be provided in the Authorization header',
];

/** Answers programs in JSON, whatever they accept, and 401 with a challenge when they do not say who they are. */
async function answerClients(ctx: KoaContextWithOIDC, next: Next): Promise<void> {
  const isForClients = clientEndpoints.includes(ctx.path);
  if (isForClients || ctx.path === '/userinfo') ctx.req.headers.accept = 'application/json';
  // A token in the query is no credential, here as at the services.
  if (ctx.path === '/userinfo' && !ctx.get('authorization')) ctx.querystring = '';
  await next();
  if (!isForClients) return;
  const { error_description: told = '' } = (ctx.body ?? {}) as { error_description?: string };
  if (ctx.status === 400 && isNoAuthentication.includes(told)) {
    // RFC 6749, 5.2, where the library says invalid_request.
    ctx.status = 401;
    ctx.body = { error: 'invalid_client', error_description: told };
  }
  // RFC 9110, 15.5.2. The library does this for requests with an Authorization header alone.
  if (ctx.status === 401 && !ctx.response.get('WWW-Authenticate')) {
    ctx.set('WWW-Authenticate', `Basic realm="${ctx.oidc.issuer}"`);
  }
}

async function announceApiScopes(ctx: KoaContextWithOIDC, next: Next): Promise<void> {
  await next();
  const metadata = ctx.body as { scopes_supported?: string[] } | undefined;
  if (ctx.path.startsWith('/.well-known/') && metadata?.scopes_supported) {
    metadata.scopes_supported = [...metadata.scopes_supported, ...apiScopes];
  }
}

async function answerWhileUnavailable(ctx: KoaContextWithOIDC, next: Next): Promise<void> {
  try {
    await next();
  } catch (error) {
    // What fails outside the library's own error handling, such as storing the session.
    if (!(error instanceof Unavailable)) throw error;
    ctx.status = error.status;
    ctx.body = { error: error.error, error_description: error.error_description };
    ctx.app.emit('error', error, ctx);
  }
  if (ctx.status === 503) ctx.set('Retry-After', '2');
}
