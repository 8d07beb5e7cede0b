import express from 'express';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type Listener, listen } from './listen.ts';
import type { Logger } from './log.ts';
import { notFound, problemHandler } from './problem.ts';

export interface Metrics {
  /** Whose they are. */
  readonly service: string;
  readonly registry: Registry;
  observeRequest(method: string, route: string, status: number, seconds: number): void;
  /** Counts a decision of the guard: how it came to let the request pass, or the reason it did not. */
  countVerdict(verdict: string): void;
}

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/**
 * Request durations and the guard's verdicts of one service.
 * @param registry one that services of the same process share; otherwise a new one
 */
export function createMetrics(service: string, registry = new Registry()): Metrics {
  const duration = histogramIn(registry, {
    name: 'http_request_duration_seconds',
    help: 'Time from the request to the end of the answer',
    labelNames: ['service', 'method', 'route', 'status'],
  });
  // A label is hashed each time that its counter is told, which every request would pay for.
  const verdicts = new Map<string, number>();
  readIn(
    registry,
    {
      type: 'counter',
      name: 'auth_verdicts_total',
      help: 'Decisions of the guard by reason',
      labelNames: ['service', 'verdict'],
    },
    () => [...verdicts].map(([verdict, value]) => ({ labels: { service, verdict }, value })),
  );
  return {
    service,
    registry,
    observeRequest(method, route, status, seconds) {
      duration.observe(
        { service, method: knownMethods.has(method) ? method : 'OTHER', route, status },
        seconds,
      );
    },
    countVerdict(verdict) {
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    },
  };
}

/** The counter of this name, which services that share a registry share too. */
export function counterIn<Label extends string>(
  registry: Registry,
  description: { name: string; help: string; labelNames: readonly Label[] },
): Counter<Label> {
  const known = registry.getSingleMetric(description.name) as Counter<Label> | undefined;
  return known ?? new Counter({ ...description, registers: [registry] });
}

/** The gauge of this name, which services that share a registry share too. */
function gaugeIn<Label extends string>(
  registry: Registry,
  description: { name: string; help: string; labelNames: readonly Label[] },
): Gauge<Label> {
  const known = registry.getSingleMetric(description.name) as Gauge<Label> | undefined;
  return known ?? new Gauge({ ...description, registers: [registry] });
}

/** The histogram of this name, in seconds, which services that share a registry share too. */
export function histogramIn<Label extends string>(
  registry: Registry,
  description: { name: string; help: string; labelNames: readonly Label[] },
): Histogram<Label> {
  const known = registry.getSingleMetric(description.name) as Histogram<Label> | undefined;
  const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
  return known ?? new Histogram({ ...description, buckets, registers: [registry] });
}

export interface Reading<Label extends string> {
  labels: Record<Label, string>;
  value: number;
}

const readersOf = new WeakMap<Counter | Gauge, (() => readonly Reading<string>[])[]>();

/** Adds what `read` tells to the metric of this name, asked only when the metrics are. */
export function readIn<Label extends string>(
  registry: Registry,
  { type, ...description }: { type: 'counter' | 'gauge'; name: string; help: string; labelNames: Label[] },
  read: () => readonly Reading<Label>[],
): void {
  const metric = type === 'counter' ? counterIn(registry, description) : gaugeIn(registry, description);
  const known = readersOf.get(metric);
  if (known) {
    known.push(read);
    return;
  }
  const readers = [read];
  readersOf.set(metric, readers);
  Object.assign(metric, {
    collect() {
      metric.reset();
      for (const { labels, value } of readers.flatMap((readNext) => readNext())) {
        if (metric instanceof Gauge) metric.set(labels, value);
        else metric.inc(labels, value);
      }
    },
  });
}

/** Serves /metrics, with the process's own figures, on a port of its own that is never published. */
export function listenMetrics(
  registry: Registry,
  address: { host: string; port: number },
  logger: Logger,
): Promise<Listener> {
  collectDefaultMetrics({ register: registry });
  const app = express().disable('x-powered-by');
  app.get('/metrics', async (_req, res) => {
    res.type(registry.contentType).send(await registry.metrics());
  });
  app.use(notFound, problemHandler(logger));
  return listen(app, address);
}
