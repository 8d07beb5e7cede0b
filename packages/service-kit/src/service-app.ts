import { type Authenticate, explain } from '@gatehouse/auth-middleware';
import express, { type Express } from 'express';
import { compose } from './compose.ts';
import type { Health } from './health.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import { createOpenApi } from './openapi.ts';
import { notFound, problemHandler } from './problem.ts';
import { requestContext, requestIdOf } from './request-context.ts';
import { createRouter, type Route } from './route.ts';

interface ServiceAppDependencies {
  name: string;
  description: string;
  /** Of tokens made for this service alone. */
  audience: string;
  issuer: string;
  /** Whether answers tell how they were decided. */
  explained: boolean;
  routes: readonly Route[];
  authenticate: Authenticate;
  health: Health;
  logger: Logger;
  metrics: Metrics;
}

/** The Express app of a resource server: health, its OpenAPI document, its routes, and one exit for every error. */
export function createServiceApp(deps: ServiceAppDependencies): Express {
  const openApi = createOpenApi(deps.routes, {
    title: deps.name,
    description: deps.description,
    issuer: deps.issuer,
  });
  const app = express();
  app.disable('x-powered-by').disable('etag').enable('case sensitive routing').set('query parser', 'simple');
  app.use(
    compose(requestContext(deps), ...(deps.explained ? [explain(deps.name)] : []), (req, res, next) => {
      res.setHeader('X-Request-Id', requestIdOf(req));
      res.setHeader('X-Content-Type-Options', 'nosniff');
      next();
    }),
  );
  app.use('/health', deps.health.router);
  app.get('/openapi.json', (_req, res) => {
    res.json(openApi);
  });
  app.use(createRouter(deps.routes, deps.authenticate, deps.audience));
  app.use(notFound);
  app.use(problemHandler(deps.logger));
  return app;
}
