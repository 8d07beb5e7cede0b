/** What any process needs. What stands on a database is in index.ts besides: it takes 14 MB that a gateway has no use for. */

export type { Caller } from '@gatehouse/auth-middleware';
export { accessTable } from './access-table.ts';
export { compose } from './compose.ts';
export {
  ConfigError,
  FlagSchema,
  isExplained,
  isLoopback,
  loadConfig,
  PortSchema,
  PostgresUrlSchema,
  ProcessConfigSchema,
  RedisUrlSchema,
  refineForProduction,
  refuseInProduction,
  requireSetting,
  UrlSchema,
} from './config.ts';
export { createDelegatedFetch } from './delegated-fetch.ts';
export { fetchJson, parseAnswer, passedOn } from './fetch-json.ts';
export { TextSchema, TimestampSchema } from './fields.ts';
export { apiAudience, guardVariables, openGuard } from './guard.ts';
export { createHealth, type Health, isHealthCheck } from './health.ts';
export { fingerprintOf, IdempotencyKeySchema, requireRepeated } from './idempotency.ts';
export { endWithProblem, type Listener, listen } from './listen.ts';
export { createLogger, type Logger } from './log.ts';
export {
  counterIn,
  createMetrics,
  histogramIn,
  listenMetrics,
  type Metrics,
  readIn,
} from './metrics.ts';
export { createOpenApi, describeRefusals } from './openapi.ts';
export { createOwnFetch } from './own-fetch.ts';
export {
  logFault,
  notFound,
  Problem,
  problemBody,
  problemHandler,
  requireFound,
  requireOwnerOr,
  upstreamFault,
} from './problem.ts';
export { type Repeated, repeat } from './repeat.ts';
export { created, noContent, ok } from './replies.ts';
export { noteAnswerBeneath, requestContext, requestIdOf } from './request-context.ts';
export { createRouter, type Route, route } from './route.ts';
export { type Closable, runProcess } from './run-process.ts';
export { type RunningService, serve } from './serve.ts';
export { type ServerEvent, serverEvents } from './server-sent-events.ts';
export { createServiceApp } from './service-app.ts';
export type { Client, ServiceFetch } from './service-fetch.ts';
export { settleAll } from './settle-all.ts';
export { refineTls, tlsFilesOf, tlsVariables } from './tls.ts';
export { exchangeOutcome, failureOf, openRequestSpan, type Span, traceIdOf } from './trace.ts';
