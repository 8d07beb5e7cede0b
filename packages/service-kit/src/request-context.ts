import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { knownCallerOf } from '@gatehouse/auth-middleware';
import type { Request, RequestHandler } from 'express';
import { type Logger, openAccessLog } from './log.ts';
import type { Metrics } from './metrics.ts';
import { continueTrace, exchangeOutcome, type Outcome, traceIdOf } from './trace.ts';

const answerBeneath = Symbol('answer beneath');
type Cut = ServerResponse & { [answerBeneath]?: number };

/** Makes the log tell this status of a response that will never be finished: its connection was answered without it. */
export function noteAnswerBeneath(res: ServerResponse, status: number): void {
  (res as Cut)[answerBeneath] = status;
}

const wellFormedId = /^[\w-]{8,64}$/;

/**
 * The first middleware: gives the request an id (X-Request-Id is kept when it is 8 to 64 word characters; the answer has
 * it from the app) and a trace, writes one log line and one measurement when the answer has left or the client is gone.
 * Query strings are never logged. The route is `res.locals.route` where an app without routes of its own sets it;
 * `res.locals.waitedMs` (before this) and `res.locals.upstreamMs` (within it) are logged, and so is `res.locals.reason`.
 * @param addressOf tells where a request comes from, for the log, in a process that can know
 */
export function requestContext({
  logger,
  metrics,
  addressOf,
}: {
  logger: Logger;
  metrics: Metrics;
  addressOf?: (req: IncomingMessage) => string;
}): RequestHandler {
  const logRequest = openAccessLog(logger);
  return (req, res, next) => {
    const startedAt = performance.now();
    const given = req.headers['x-request-id'];
    const requestId = typeof given === 'string' && wellFormedId.test(given) ? given : randomUUID();
    req.headers['x-request-id'] = requestId;
    const path = loggedPath(req.originalUrl);
    const span = continueTrace(req, metrics.service, path);
    const traceId = traceIdOf(req);
    res.on('close', () => {
      const durationMs = Math.round((performance.now() - startedAt) * 100) / 100;
      const status = res.writableFinished ? res.statusCode : ((res as Cut)[answerBeneath] ?? 499);
      const route = res.locals.route ?? routeOf(req);
      metrics.observeRequest(req.method, route, status, durationMs / 1000);
      const caller = knownCallerOf(req);
      logRequest({
        requestId,
        traceId,
        address: addressOf?.(req),
        caller: caller?.subject,
        client: caller?.clientId,
        method: req.method,
        path,
        route,
        status,
        durationMs,
        waitedMs: res.locals.waitedMs,
        upstreamMs: res.locals.upstreamMs,
        reason: res.locals.reason,
      });
      span?.end(serverOutcome(req.method, route, status));
    });
    if (span === undefined) next();
    else span.run(next);
  };
}

const plainPath = /^\/[\w./~:-]*$/;
const query = /[?#]|%(?:3f|23)/i;
const wordlike = /[\w.%-]+/g;

// Whoever puts a secret where it does not belong has lost it to every proxy on the way, but not to our log.
function loggedPath(url: string): string {
  if (plainPath.test(url) && !url.includes('eyJ')) return url;
  if (!url.startsWith('/')) return '[no path]';
  // A pattern of a whole JWT would try each of its beginnings, for a second of a long path.
  return (url.split(query, 1)[0] as string).replaceAll(wordlike, (part) => {
    const at = part.indexOf('eyJ');
    return at === -1 ? part : `${part.slice(0, at)}[token]`;
  });
}

/** The id of the request, as it is logged here and sent to every upstream. */
export function requestIdOf(req: IncomingMessage): string {
  return String(req.headers['x-request-id']);
}

/** The headers that make a call to another service a part of this request, in its log and in the trace. */
export function correlationOf(req: IncomingMessage): Record<string, string> {
  const names = ['x-request-id', 'traceparent', 'tracestate'];
  return Object.fromEntries(
    names.filter((name) => name in req.headers).map((name) => [name, String(req.headers[name])]),
  );
}

// The declared path, never the one sent: a label must not grow with what clients invent. Of a mount it is as sent, so apps
// tell upper from lower case.
function routeOf(req: Request): string {
  const declared = req.route?.path;
  return typeof declared === 'string' ? req.baseUrl + declared : req.baseUrl || 'unmatched';
}

// A span is named by its route in the form in which routes are declared.
function serverOutcome(method: string, route: string, status: number): Outcome {
  const outcome = exchangeOutcome(status, 500, status === 499 ? 'client left' : undefined);
  if (route === 'unmatched') return outcome;
  const declared = route.replaceAll(/:(\w+)/g, '{$1}');
  return {
    ...outcome,
    name: `${method} ${declared}`,
    attributes: { ...outcome.attributes, 'http.route': declared },
  };
}
