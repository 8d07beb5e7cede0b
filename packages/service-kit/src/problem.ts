import { STATUS_CODES } from 'node:http';
import { AuthError, type Caller } from '@gatehouse/auth-middleware';
import { DenylistUnavailable } from '@gatehouse/denylist';
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { isDatabaseUnavailable } from './database-errors.ts';
import type { Logger } from './log.ts';
import { traceIdOf } from './trace.ts';

export interface FieldError {
  /** A JSON pointer into the body (`#/lines/0/quantity`), or `/query/limit`, `/path/id`. */
  pointer: string;
  detail: string;
}

interface ProblemOptions {
  headers?: Record<string, string>;
  errors?: FieldError[];
  cause?: unknown;
}

/** An answer that is not a success, as RFC 9457 problem details: throw it from anywhere below a request. */
export class Problem extends Error {
  override name = 'Problem';
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly errors: FieldError[] | undefined;
  /** @param detail a sentence for the caller; never anything internal */
  constructor(status: number, detail?: string, options: ProblemOptions = {}) {
    super(detail ?? '', { cause: options.cause });
    this.status = status;
    this.headers = options.headers ?? {};
    this.errors = options.errors;
  }
}

/**
 * What was looked for.
 * @throws Problem 404 with this sentence when it is not there
 */
export function requireFound<Thing>(thing: Thing | undefined, detail: string): Thing {
  if (thing === undefined) throw new Problem(404, detail);
  return thing;
}

/**
 * Lets the owner of a thing pass, and whoever has the role: the rule of a route whose `owner` is `caller or <role>`.
 * @throws Problem 403 for everybody else
 */
export function requireOwnerOr(
  role: string,
  { ownerId }: { ownerId: string },
  { subject, roles }: Caller,
): void {
  if (ownerId !== subject && !roles.has(role)) throw new Problem(403, 'This belongs to someone else');
}

/** Ends what no route took. */
export const notFound: RequestHandler = () => {
  throw new Problem(404, 'No such route');
};

/** The single exit of every error: logs what is our fault, or that of a part behind us, and answers application/problem+json. */
export function problemHandler(logger: Logger): ErrorRequestHandler {
  // Express knows an error handler by its four parameters.
  return (error, req, res, _next) => {
    const problem = toProblem(error);
    logFault(logger, error, problem, req, res);
    if (res.headersSent) {
      res.destroy();
      return;
    }
    res
      .status(problem.status)
      .set({ 'Cache-Control': 'no-store', ...problem.headers })
      .type('application/problem+json')
      .send(problemBody(problem, req.originalUrl, req.headers['x-request-id']));
  };
}

/**
 * Logs what is our fault, or that of a part behind us, and gives the line of the request its reason.
 * @param problem what the client is told of the error
 */
export function logFault(
  logger: Logger,
  error: unknown,
  { status, message }: Pick<Problem, 'status' | 'message'>,
  req: Request,
  res: Response,
): void {
  const known = { err: error, requestId: req.headers['x-request-id'], traceId: traceIdOf(req) };
  if (status === 500) logger.error(known, 'request failed');
  else if (status > 501 && !isDeliberate(error)) logger.warn(known, 'request could not be served');
  // What a body or a query is refused for may quote it.
  if (status > 500 || error instanceof AuthError) res.locals.reason = message;
}

// Thrown by us, and by nothing else's fault: the line of the request has its reason, which is all that there is to say.
function isDeliberate(error: unknown): boolean {
  return error instanceof Problem && error.cause === undefined;
}

/** The JSON text of a problem, for the places that have no Express response at hand. */
export function problemBody(
  problem: Problem,
  url: string | undefined,
  requestId: string | string[] | undefined,
): string {
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[problem.status] ?? 'Error',
    status: problem.status,
    detail: problem.message || undefined,
    // A target in absolute form is the caller's own text, not a path of ours.
    instance: url?.startsWith('/') ? url.split('?', 1)[0] : undefined,
    requestId,
    errors: problem.errors,
  });
}

/** The 503 for a part behind us, another service or a store, that fails us; the cause is for the log alone. */
export function upstreamFault(cause?: unknown): Problem {
  const detail = 'A part of the system that this request needs is unavailable';
  return new Problem(503, detail, { headers: { 'Retry-After': '2' }, cause });
}

// What body-parser's own messages say can quote the body, so each has a sentence of ours.
const bodyFaults: Record<string, string> = {
  'entity.parse.failed': 'The body is not valid JSON',
  'entity.too.large': 'The body is too large',
  'encoding.unsupported': 'The content encoding is not supported',
  'charset.unsupported': 'The charset is not supported',
  'request.size.invalid': 'The body does not have the length that Content-Length tells',
  'parameters.too.many': 'The body has too many parameters',
};

/** What an error is to the client. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof AuthError) return new Problem(error.status, error.message, { headers: error.headers });
  if (isDatabaseUnavailable(error) || error instanceof DenylistUnavailable) return upstreamFault();
  const { status, type } = (error ?? {}) as { status?: unknown; type?: unknown };
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new Problem(status, bodyFaults[String(type)]);
  }
  return new Problem(500);
}
