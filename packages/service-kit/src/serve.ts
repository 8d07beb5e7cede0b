import type { RequestListener } from 'node:http';
import type { ProcessConfig } from './config.ts';
import type { Health } from './health.ts';
import { type Listener, listen } from './listen.ts';
import type { Logger } from './log.ts';
import { listenMetrics, type Metrics } from './metrics.ts';
import type { Closable } from './run-process.ts';

export interface RunningService extends Closable {
  readonly listener: Listener;
}

/**
 * The last step of a start: serves the app, and the metrics where they have a port.
 * @param opened what the app stands on; it is disposed after the last request, and at once if this step fails
 * @returns whose `close` turns readiness off, lets requests finish, then disposes `opened`
 */
export async function serve(
  app: RequestListener,
  {
    config: { HOST: host, PORT: port, METRICS_PORT: metricsPort },
    health,
    metrics,
    logger,
  }: { config: ProcessConfig; health: Health; metrics: Metrics; logger: Logger },
  opened: AsyncDisposableStack,
): Promise<RunningService> {
  if (metricsPort !== undefined) {
    const metricsListener = await listenMetrics(metrics.registry, { host, port: metricsPort });
    opened.defer(() => metricsListener.close());
  }
  const listener = await listen(app, { host, port });
  opened.defer(() => listener.close());
  opened.defer(() => health.drain());
  logger.info({ port: listener.port }, 'listening');
  const running = opened.move();
  return { listener, close: () => running.disposeAsync() };
}
