import { z } from 'zod';
import { Problem, upstreamFault } from './problem.ts';
import { exchangeOutcome, failureOf, openRequestSpan } from './trace.ts';

const maxAnswerBytes = 256 * 1024;

/**
 * fetch for answers of other services: it follows no redirect, and reads no more than 256 KiB.
 * @param init its `signal` is the deadline of the whole answer
 */
export async function boundedFetch(
  url: string,
  init: RequestInit & { signal: AbortSignal },
): Promise<Response> {
  const span = openRequestSpan(init.method ?? 'GET', url);
  const headers = new Headers(init.headers);
  if (span) headers.set('traceparent', span.traceparent);
  try {
    const response = await fetch(url, { ...init, headers, redirect: 'error' });
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > maxAnswerBytes) throw new Error('the answer is too large');
      chunks.push(chunk);
    }
    span?.end(exchangeOutcome(response.status, 400));
    return new Response(chunks.length > 0 ? Buffer.concat(chunks) : null, response);
  } catch (error) {
    span?.end(exchangeOutcome(undefined, 400, failureOf(error)));
    throw error;
  }
}

/**
 * Asks another service for JSON, whatever the status; the body of an answer without one is undefined.
 * @param init its `signal` is the deadline
 * @throws Problem 503 when the service cannot be reached in time or answers something else
 */
export async function fetchJson(
  url: string,
  init: RequestInit & { signal: AbortSignal },
): Promise<{ status: number; body: unknown }> {
  try {
    const response = await boundedFetch(url, init);
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  } catch (error) {
    throw upstreamFault(error);
  }
}

/** What another service answered, as the schema describes it; an answer that does not fit is a Problem 503. */
export function parseAnswer<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw upstreamFault(parsed.error);
  return parsed.data;
}

const RefusalSchema = z.object({
  detail: z.string().optional(),
  errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
});

/**
 * What to tell the client where another service, asked for the same on its behalf, did not do it: its own refusal when
 * that is 403, 404, 409 or 422, and otherwise 503.
 */
export function passedOn({ status, body }: { status: number; body: unknown }): Problem {
  if (![403, 404, 409, 422].includes(status)) return upstreamFault(new Error(`it answered ${status}`));
  const { detail, errors } = parseAnswer(RefusalSchema, body);
  return new Problem(status, detail, errors && { errors });
}
