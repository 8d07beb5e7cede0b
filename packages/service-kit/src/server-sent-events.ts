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

/** What each event of a stream may tell, by its name. */
type EventSchemas = Readonly<Record<string, z.ZodType>>;

const schemasOf = new WeakMap<z.ZodType, EventSchemas>();

/**
 * What a route answers with that sends events: a handler gives them as they come, until its stream ends or the token of the
 * caller does. The data of each is cut to the schema of its name.
 */
export function serverEvents(schemas: EventSchemas): z.ZodType<AsyncIterable<ServerEvent>> {
  const names = Object.keys(schemas).join(', ');
  const stream = z.custom<AsyncIterable<ServerEvent>>().meta({
    override: { type: 'string', description: `Server-sent events, until the stream ends: ${names}` },
  });
  schemasOf.set(stream, schemas);
  return stream;
}

/** The schemas of the events of an answer, if it is a stream of them. */
export function eventsIn(answer: z.ZodType | undefined): EventSchemas | undefined {
  return answer && schemasOf.get(answer);
}

/**
 * Sends events until there are no more, or nobody reads them: the next one is asked for when the one before has left.
 * @param schemas what their data is cut to
 * @param isWelcome asked every second; a no ends them
 * @throws what breaks them before they end, such as a failure to tell who is welcome; the answer has begun by then
 */
export async function sendEvents(
  res: Response,
  events: AsyncIterable<ServerEvent>,
  { schemas, isWelcome }: { schemas: EventSchemas; isWelcome: () => boolean | Promise<boolean> },
): Promise<void> {
  const leaving = new AbortController();
  res.once('close', () => leaving.abort());
  res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  res.flushHeaders();
  const ends = [
    sendAll(res, events, schemas, leaving.signal),
    endOnceUnwelcome(res, isWelcome, leaving.signal),
  ];
  await Promise.race(ends).catch((error) => {
    if (!leaving.signal.aborted) throw error;
  });
}

async function sendAll(
  res: Response,
  events: AsyncIterable<ServerEvent>,
  schemas: EventSchemas,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of events) {
    if (res.closed || res.writableEnded) return;
    // Of an answer to HEAD the headers are all, and the next request of the connection waits for its end.
    if (res.req.method === 'HEAD') break;
    if (!res.write(textOf(event, schemas))) await once(res, 'drain', { signal });
  }
  res.end();
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

function textOf({ id, event = 'message', data }: ServerEvent, schemas: EventSchemas): string {
  if (data === undefined) return ':\n\n';
  const schema = schemas[event];
  if (schema === undefined) throw new Error(`the event ${event} is not declared`);
  const lines = [...(id === undefined ? [] : [`id: ${id}`]), `event: ${event}`];
  return `${[...lines, `data: ${JSON.stringify(schema.parse(data))}`].join('\n')}\n\n`;
}
