import type { RequestListener } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Express } from 'express';
import type { ProcessConfig } from './config.ts';
import { messagesOf } from './express-messages.ts';
import type { Health } from './health.ts';
import { type Listener, listen } from './listen.ts';
import type { Logger } from './log.ts';
import { counterIn, listenMetrics, type Metrics, readIn } from './metrics.ts';
import type { Closable } from './run-process.ts';
import type { TlsFiles } from './tls.ts';

export interface RunningService extends Closable {
  readonly listener: Listener;
  readonly health: Health;
  /**
   * Turns readiness off and goes on answering for DRAIN_DELAY_SECONDS, each time with `Connection: close`, so that
   * whoever keeps connections opens the next one elsewhere.
   */
  drain(hurry: AbortSignal): Promise<void>;
}

/**
 * The last step of a start: serves the app, and the metrics where they have a port.
 * @param opened what the app stands on; it is disposed after the last request, and at once if this step fails
 * @param tls where it is served by HTTPS
 * @param maxHeadBytes of a request, where it is not what listen() takes by itself
 * @param inFront what takes the requests and hands them to the app, where something does
 * @returns whose `close` turns readiness off, lets requests finish, then disposes `opened`
 */
export async function serve(
  app: Express,
  {
    config: { HOST: host, PORT: port, METRICS_PORT: metricsPort, DRAIN_DELAY_SECONDS: drainDelaySeconds },
    health,
    metrics,
    logger,
    tls: files,
    inFront = app,
    maxHeadBytes,
  }: {
    config: ProcessConfig;
    health: Health;
    metrics: Metrics;
    logger: Logger;
    tls?: TlsFiles | undefined;
    inFront?: RequestListener;
    maxHeadBytes?: number;
  },
  opened: AsyncDisposableStack,
): Promise<RunningService> {
  if (metricsPort !== undefined) {
    const metricsListener = await listenMetrics(metrics.registry, { host, port: metricsPort }, logger);
    opened.defer(() => metricsListener.close());
  }
  const tls = files && { files, logger };
  const { service, registry } = metrics;
  const refusals = counterIn(registry, {
    name: 'unparsed_requests_total',
    help: 'Answers to what did not become a request, or not in time, by status',
    labelNames: ['service', 'status'],
  });
  const listener = await listen(inFront, {
    host,
    port,
    tls,
    messages: messagesOf(app),
    maxHeadBytes,
    onRefusal: (status) => refusals.inc({ service, status }),
  });
  const { certificateExpiresAt } = listener;
  readIn(
    registry,
    {
      type: 'gauge',
      name: 'tls_certificate_expires_timestamp_seconds',
      help: 'When the certificate that is served expires',
      labelNames: ['service'],
    },
    () => (certificateExpiresAt ? [{ labels: { service }, value: certificateExpiresAt() }] : []),
  );
  opened.defer(() => listener.close());
  opened.defer(() => health.drain());
  logger.info({ port: listener.port }, 'listening');
  const running = opened.move();
  return {
    listener,
    health,
    async drain(hurry) {
      health.drain();
      logger.info({ drainDelaySeconds }, 'draining');
      listener.server.prependListener('request', (_req, res) => res.setHeader('Connection', 'close'));
      await delay(drainDelaySeconds * 1_000, undefined, { signal: hurry }).catch(() => {});
    },
    close: () => running.disposeAsync(),
  };
}
