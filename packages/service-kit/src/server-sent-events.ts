import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Response } from 'express';
import { z } from 'zod';

/** One of a stream of server-sent events (HTML, 9.2); without `data` it only shows that the stream is alive. */
export interface ServerEvent {
  /** By which the next stream goes on after it, in Last-Event-ID. */
  id?: string;
  event?: string;
  data?: unknown;
}

const lookEveryMs = 1_000;

/**
 * What a route answers with that sends events: a handler gives them as they come, until its stream ends or the token of the
 * caller does. No schema cuts their data: the handler gives what may leave.
 */
export const ServerEventsSchema = z
  .custom<AsyncIterable<ServerEvent>>()
  .meta({ override: { type: 'string', description: 'Server-sent events, until the stream ends' } });

/**
 * Sends events until there are no more, or nobody reads them: the next one is asked for when the one before has left.
 * @param isWelcome asked every second; a no ends them, and so does a failure to tell
 */
export async function sendEvents(
  res: Response,
  events: AsyncIterable<ServerEvent>,
  isWelcome: () => boolean | Promise<boolean>,
): Promise<void> {
  const leaving = new AbortController();
  res.once('close', () => leaving.abort());
  res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  res.flushHeaders();
  endOnceUnwelcome(res, isWelcome, leaving.signal).catch(() => res.destroy());
  try {
    for await (const event of events) {
      if (res.closed || res.writableEnded) return;
      // Of an answer to HEAD the headers are all, and the next request of the connection waits for its end.
      if (res.req.method === 'HEAD') break;
      if (!res.write(textOf(event))) await once(res, 'drain', leaving);
    }
    res.end();
  } catch (error) {
    // Its headers have left, so the end is all that can be told.
    if (!leaving.signal.aborted) res.destroy(error instanceof Error ? error : undefined);
  }
}

async function endOnceUnwelcome(
  res: Response,
  isWelcome: () => boolean | Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  do await delay(lookEveryMs, undefined, { signal });
  while (await isWelcome());
  res.end();
}

function textOf({ id, event, data }: ServerEvent): string {
  if (data === undefined) return ':\n\n';
  const lines = [id !== undefined && `id: ${id}`, event !== undefined && `event: ${event}`];
  return `${[...lines.filter(Boolean), `data: ${JSON.stringify(data)}`].join('\n')}\n\n`;
}
