import { changed } from './changes.ts';
import { type Identity, renewNow } from './identities.ts';
import { type Check, parseServerTiming } from './server-timing.ts';

/** What is sent. */
export interface Call {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: string | undefined;
}

/** A call with its answer. */
export interface Exchange extends Call {
  /** 0 is a redirect, of which a browser tells no more. */
  status: number;
  answerHeaders: [string, string][];
  text: string;
  checks: Check[];
  /** As this page has measured it, in milliseconds. */
  tookMs: number;
}

let newest: Exchange | undefined;

/** What was sent and answered last, for the map. */
export const newestExchange = (): Exchange | undefined => newest;

/**
 * Sends a request and remembers it for the map. When the token is refused, the next call has a new one, or its sign-in is over.
 * @param as whose access token goes along; undefined is nobody's
 * @throws Unsendable, or Error when there is no answer within ten seconds
 */
export async function send(call: Call, as?: Identity): Promise<Exchange> {
  const token = as?.tokens.accessToken;
  const headers = { ...(token !== undefined && { Authorization: `Bearer ${token}` }), ...call.headers };
  const startedAt = performance.now();
  const response = await fetch(requestOf({ ...call, headers }));
  const text = await textOf(response);
  newest = {
    ...call,
    headers,
    status: response.status,
    answerHeaders: [...response.headers],
    text,
    checks: parseServerTiming(response.headers.get('server-timing') ?? ''),
    tookMs: performance.now() - startedAt,
  };
  if (as && response.status === 401 && as.tokens.accessToken === token) void renewNow(as);
  changed();
  return newest;
}

/** What the browser makes no request of: a header of such a name, or a body where the method has none. */
export class Unsendable extends Error {}

function requestOf({ method, path, headers, body }: Call): Request {
  const limits = { credentials: 'omit', redirect: 'manual', signal: AbortSignal.timeout(10_000) } as const;
  try {
    // Not the path alone: one that begins with two slashes would lead to another origin, and the token with it.
    return new Request(location.origin + path, { method, headers, body: body ?? null, ...limits });
  } catch (error) {
    throw new Unsendable(`This cannot be sent: ${error instanceof Error ? error.message : error}`);
  }
}

/** The status in words. */
export const statusOf = ({ status }: Exchange): string => (status === 0 ? 'A redirect' : String(status));

/** The body; of a stream of events, which does not end, what comes first. */
async function textOf(response: Response): Promise<string> {
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
  if (!isStream || !response.body) return response.text();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const { value = '' } = await reader.read();
  await reader.cancel();
  return value;
}

/** The answer as JSON; undefined when it is none. */
export function bodyOf({ text }: Exchange): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
