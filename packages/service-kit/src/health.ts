import { Router } from 'express';
import type { Logger } from './log.ts';

export interface Health {
  /** Answers /live and /ready below where it is mounted, which is /health. */
  readonly router: Router;
  /** What each check says now. */
  check(): Promise<Record<string, 'ok' | 'failing'>>;
  /** From now on /health/ready answers 503, so that balancers stop sending requests. */
  drain(): void;
  /** Whether it does so already; what would go on for long ends then. */
  isDraining(): boolean;
}

const healthCheck = /^\/health\/(?:live|ready)(?:\?|$)/;

/** Whether this is the target of a check of health, which answers whoever asks. */
export function isHealthCheck(url: string): boolean {
  return healthCheck.test(url);
}

const checkTimeoutMs = 1000;

/**
 * Live while the process answers at all; ready while every check passes within a second.
 * @param checks a failing one throws or rejects; its reason goes to the log, never into the answer
 */
export function createHealth(checks: Record<string, () => void | Promise<void>>, logger: Logger): Health {
  const router = Router();
  const failing = new Set<string>();
  let draining = false;
  router.get('/live', (_req, res) => {
    res.set('Cache-Control', 'no-store').json({ status: 'live' });
  });
  router.get('/ready', async (_req, res) => {
    const results = await check();
    const ready = !draining && Object.values(results).every((outcome) => outcome === 'ok');
    res
      .status(ready ? 200 : 503)
      .set('Cache-Control', 'no-store')
      .json({
        status: draining ? 'draining' : ready ? 'ready' : 'unready',
        checks: results,
      });
  });

  async function check() {
    const results = Object.entries(checks).map(
      async ([name, run]) => [name, await outcomeOf(name, run)] as const,
    );
    return Object.fromEntries(await Promise.all(results));
  }

  async function outcomeOf(name: string, check: () => void | Promise<void>): Promise<'ok' | 'failing'> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`no answer in ${checkTimeoutMs} ms`)), checkTimeoutMs);
    try {
      await Promise.race([(async () => check())(), late]);
      if (failing.delete(name)) logger.info({ check: name }, 'health check passes again');
      return 'ok';
    } catch (error) {
      // Once, and not for each who asks.
      if (!failing.has(name)) logger.warn({ err: error, check: name }, 'health check failed');
      failing.add(name);
      return 'failing';
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    router,
    check,
    drain() {
      draining = true;
    },
    isDraining: () => draining,
  };
}
