import express from 'express';
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';
import { type Listener, listen } from './listen.ts';
import { notFound } from './problem.ts';

export interface Metrics {
  readonly registry: Registry;
  observeRequest(method: string, route: string, status: number, seconds: number): void;
  /** Counts a decision of the guard: `accepted`, or the reason it refused. */
  countVerdict(verdict: string): void;
}

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** A registry of its own, with the request duration, the guard's verdicts, and the process's own figures. */
export function createMetrics(service: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the request to the end of the answer',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [registry],
  });
  const verdicts = new Counter({
    name: 'auth_verdicts_total',
    help: 'Decisions of the guard by reason',
    labelNames: ['verdict'],
    registers: [registry],
  });
  return {
    registry,
    observeRequest: (method, route, status, seconds) =>
      duration.observe({ method: knownMethods.has(method) ? method : 'OTHER', route, status }, seconds),
    countVerdict: (verdict) => verdicts.inc({ verdict }),
  };
}

/** Serves /metrics on a port of its own, which is never published. The process's figures join the first registry. */
export function listenMetrics(
  registries: readonly [Registry, ...Registry[]],
  { host, port }: { host: string; port: number },
): Promise<Listener> {
  collectDefaultMetrics({ register: registries[0] });
  const merged = registries.length === 1 ? registries[0] : Registry.merge([...registries]);
  const app = express().disable('x-powered-by');
  app.get('/metrics', async (_req, res) => {
    res.type(merged.contentType).send(await merged.metrics());
  });
  app.use(notFound);
  return listen(app, { host, port });
}
