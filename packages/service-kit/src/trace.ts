import { randomFillSync } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { isHealthCheck } from './health.ts';

/** What a span says of itself, under the names of OpenTelemetry's semantic conventions. */
export type Attributes = Record<string, string | number | string[]>;

/** How a step went; `failure` is a word that recurs, as a status or an error code, and never a message. */
export interface Outcome {
  name?: string;
  attributes?: Attributes;
  failure?: string | undefined;
}

/** One step of a trace, under way. */
export interface Span {
  /** The header that places what another service does below this step. */
  readonly traceparent: string;
  /** What `work` does, now or later, is below this step. */
  run<Result>(work: () => Result): Result;
  end(outcome: Outcome): void;
}

/** Where spans come from, if there are any. */
export interface Tracing {
  /** @param parent the step of another service that asks, if any */
  openServerSpan(
    service: string,
    name: string,
    attributes: Attributes,
    parent: { traceparent: string; tracestate: string | undefined } | undefined,
  ): Span;
  /** Nothing where no server span is under way: what nobody asked for is in no trace. */
  openClientSpan(name: string, attributes: Attributes): Span | undefined;
}

let tracing: Tracing | undefined;

/** From now on there are spans; undefined ends that. Without it nothing of OpenTelemetry is loaded or called. */
export function useTracing(started: Tracing | undefined): void {
  tracing = started;
}

/** Whether there are spans. */
export function isTracing(): boolean {
  return tracing !== undefined;
}

// W3C Trace Context, 3.2
const wellFormed = /^(?!ff)([\da-f]{2})-((?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2})(-.*)?$/;
const maxStateLength = 512;
const maxStateMembers = 32;

/**
 * Leaves the request with one valid traceparent: the client's, or that of a new trace where it sent none or no valid
 * one. A tracestate is kept with a valid traceparent alone, up to 512 characters and 32 members.
 * @returns the server's span, where there are spans; traceparent is its own then
 */
export function continueTrace(req: IncomingMessage, service: string, path: string): Span | undefined {
  const { headers, method = 'GET' } = req;
  const traceparent = validParent(headers.traceparent);
  const tracestate = traceparent && validState(headers.tracestate);
  if (tracestate === undefined) delete headers.tracestate;
  // Checks of health come every few seconds, and nobody looks for them in a trace.
  const span = isHealthCheck(path)
    ? undefined
    : tracing?.openServerSpan(
        service,
        method,
        {
          'http.request.method': method,
          'http.request.header.x-request-id': [String(headers['x-request-id'])],
          'url.scheme': (req.socket as TLSSocket).encrypted ? 'https' : 'http',
          'url.path': path,
        },
        traceparent === undefined ? undefined : { traceparent, tracestate },
      );
  headers.traceparent = span?.traceparent ?? traceparent ?? newParent();
  return span;
}

function validParent(header: string | string[] | undefined): string | undefined {
  // Two of them arrive as one with a comma.
  const match = typeof header === 'string' ? wellFormed.exec(header) : null;
  if (match === null) return undefined;
  const [, version, known, added] = match;
  // Versions to come may add fields (4.1), which stay here.
  return version === '00' && added !== undefined ? undefined : `00-${known}`;
}

function validState(header: string | string[] | undefined): string | undefined {
  if (typeof header !== 'string' || header.length > maxStateLength) return undefined;
  return header.split(',').length > maxStateMembers ? undefined : header;
}

const idsLength = 24;
const random = Buffer.alloc(idsLength * 128);
let used = random.length;

// Random bytes are cheap by the thousand. Not sampled: nobody records this step.
function newParent(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  const ids = random.toString('hex', used, used + idsLength);
  used += idsLength;
  return `00-${ids.slice(0, 32)}-${ids.slice(32)}-00`;
}

/** The id of the trace that the request is part of, as every service logs it. */
export function traceIdOf(req: IncomingMessage): string | undefined {
  return (req.headers.traceparent as string | undefined)?.slice(3, 35);
}

/** Opens the span of a request to another service, whose address is given as to `new URL`. */
export function openRequestSpan(method: string, address: string, base?: string | URL): Span | undefined {
  if (tracing === undefined) return undefined;
  const url = new URL(address, base);
  return tracing.openClientSpan(method, {
    'http.request.method': method,
    'server.address': url.hostname,
    'server.port': Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
    // Without the query, which may hold anything.
    'url.full': url.origin + url.pathname,
  });
}

/** Opens the span of something asked of a database. */
export function openQuerySpan(name: string, attributes: Attributes): Span | undefined {
  return tracing?.openClientSpan(name, attributes);
}

/**
 * How an exchange over HTTP went.
 * @param failure what ended it before its time
 * @param failsFrom the first status that is a failure: 400 for whoever asked, 500 for whoever answered
 */
export function exchangeOutcome(
  status: number | undefined,
  failsFrom: 400 | 500,
  failure?: string,
): Outcome & { attributes: Attributes } {
  return {
    attributes: status === undefined ? {} : { 'http.response.status_code': status },
    failure: failure ?? (status !== undefined && status >= failsFrom ? String(status) : undefined),
  };
}

/** The word for an error in a span: its code where it has one. Messages may quote what was sent. */
export function failureOf(error: unknown): string {
  if (!(error instanceof Error)) return 'error';
  const { code } = (error.cause ?? error) as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : error.name;
}
