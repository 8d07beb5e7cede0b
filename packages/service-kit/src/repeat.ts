import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from './log.ts';

/** A task that runs again and again, never twice at a time. */
export interface Repeated {
  /** No run starts after this, and the last one has ended. */
  stop(): Promise<void>;
}

/**
 * Runs `task` after every pause; what it throws goes to the log once, until it succeeds again.
 * @param pauseMs a function when no two pauses are to be the same
 */
export function repeat(
  pauseMs: number | (() => number),
  name: string,
  task: () => Promise<void>,
  logger: Logger,
): Repeated {
  const nextPauseMs = typeof pauseMs === 'number' ? () => pauseMs : pauseMs;
  const stopping = new AbortController();
  const { signal } = stopping;

  async function run() {
    let failing = false;
    while (!signal.aborted) {
      await delay(nextPauseMs(), undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      try {
        await task();
        if (failing) logger.info({ task: name }, 'succeeds again');
        failing = false;
      } catch (error) {
        if (!failing) logger.warn({ err: error, task: name }, 'failing, will be tried again');
        failing = true;
      }
    }
  }

  const running = run();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
