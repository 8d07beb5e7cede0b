import { isUtf8 } from 'node:buffer';
import { type Caller, callerOf, requireRole, requireScope } from '@gatehouse/auth-middleware';
import express, { type Request, type RequestHandler, Router } from 'express';
import { z } from 'zod';
import { type FieldError, Problem } from './problem.ts';

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
type Responses = Record<number, z.ZodType>;
type None = z.ZodUndefined;

/** What a handler answers: a declared status with the body that its schema describes. */
type Reply<R extends Responses> = {
  [Status in keyof R & number]: {
    status: Status;
    body: z.input<R[Status]>;
    headers?: Record<string, string>;
  };
}[keyof R & number];

interface Description<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends Responses> {
  method: Method;
  /** As OpenAPI writes it: `/orders/{id}`. */
  path: string;
  summary: string;
  params?: P;
  query?: Q;
  body?: B;
  responses: R;
  /** That it can be refused with 409, for the documentation. */
  conflicts?: true;
}

interface Input<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  params: z.output<P>;
  query: z.output<Q>;
  body: z.output<B>;
  req: Request;
}

interface Guarded<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends Responses>
  extends Description<P, Q, B, R> {
  public?: never;
  scope: string;
  /** A role that the caller must have besides the scope. */
  role?: string;
  /** Only for tokens that speak for a user: one that a client got for itself is 403. */
  user?: true;
  handler(input: Input<P, Q, B> & { caller: Caller }): Promise<Reply<NoInfer<R>>>;
}

interface Public<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends Responses>
  extends Description<P, Q, B, R> {
  public: true;
  scope?: never;
  handler(input: Input<P, Q, B>): Promise<Reply<NoInfer<R>>>;
}

/** A declared route: the one source of its guard, its validation, its documentation and its negative tests. */
export type Route =
  | Guarded<z.ZodType, z.ZodType, z.ZodType, Responses>
  | Public<z.ZodType, z.ZodType, z.ZodType, Responses>;

/** Declares a route. One that names neither a scope nor `public: true` does not compile. */
export function route<
  R extends Responses,
  P extends z.ZodType = None,
  Q extends z.ZodType = None,
  B extends z.ZodType = None,
>(declaration: Guarded<P, Q, B, R> | Public<P, Q, B, R>): Route {
  return declaration as unknown as Route;
}

/**
 * Serves declared routes: guard, then validation, then the handler, then the answer cut to its schema. A known path
 * with another method is 405.
 * @param authenticate stands in front of every route that is not public
 */
export function createRouter(routes: readonly Route[], authenticate: RequestHandler): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const methodsByPath = new Map<string, string[]>();
  for (const declared of routes) {
    const path = declared.path.replaceAll(/\{(\w+)\}/g, ':$1');
    router[declared.method](
      path,
      ...guardsOf(declared, authenticate),
      ...parsersOf(declared),
      handle(declared),
    );
    methodsByPath.set(path, [...(methodsByPath.get(path) ?? []), declared.method.toUpperCase()]);
  }
  for (const [path, methods] of methodsByPath) {
    const allow = methods.includes('GET') ? [...methods, 'HEAD'] : methods;
    router.all(path, () => {
      throw new Problem(405, undefined, { headers: { Allow: allow.join(', ') } });
    });
  }
  return router;
}

function guardsOf(declared: Route, authenticate: RequestHandler): RequestHandler[] {
  if (declared.public) return [];
  return [
    authenticate,
    requireScope(declared.scope),
    ...(declared.role === undefined ? [] : [requireRole(declared.role)]),
    ...(declared.user ? [requireUser] : []),
  ];
}

const requireUser: RequestHandler = (req, _res, next) => {
  if (callerOf(req).kind !== 'user') throw new Problem(403, 'This needs a token that speaks for a user');
  next();
};

const NoQuerySchema = z.strictObject({});

// A body of 64 KiB can have ten thousand faults.
const maxErrors = 20;

const parseJson = express.json({
  limit: '64kb',
  inflate: false,
  strict: false,
  // JSON.parse would put replacement characters where the bytes are no UTF-8 (RFC 8259, 8.1).
  verify: (_req, _res, body) => {
    if (!isUtf8(body)) throw new Problem(400, 'The body is not valid UTF-8');
  },
});

function parsersOf(declared: Route): RequestHandler[] {
  if (declared.body === undefined) return [];
  return [requireJson, parseJson];
}

const requireJson: RequestHandler = (req, _res, next) => {
  const charset = /;\s*charset\s*=\s*"?([^\s;"]*)/i.exec(req.headers['content-type'] ?? '')?.[1] ?? 'utf-8';
  if (!req.is('application/json') || charset.toLowerCase() !== 'utf-8')
    throw new Problem(415, 'The body must be application/json in UTF-8');
  next();
};

function handle(declared: Route): RequestHandler {
  return async (req, res) => {
    const errors: FieldError[] = [];
    const input = {
      params: parse(declared.params, req.params, '/path', errors),
      query: parse(declared.query ?? NoQuerySchema, req.query, '/query', errors),
      body: parse(declared.body, req.body, '#', errors),
      req,
    };
    if (errors.length > 0) {
      throw new Problem(422, 'The request does not fit the schema', { errors: errors.slice(0, maxErrors) });
    }
    const reply = declared.public
      ? await declared.handler(input)
      : await declared.handler({ ...input, caller: callerOf(req) });
    const schema = declared.responses[reply.status];
    if (schema === undefined)
      throw new Error(`${declared.method} ${declared.path} answered an undeclared status`);
    // Parsing the answer as well keeps a column that nobody declared from leaving.
    const body = schema.parse(reply.body);
    res.status(reply.status).set({ 'Cache-Control': 'no-store', ...reply.headers });
    if (body === undefined) res.end();
    else res.json(body);
  };
}

function parse(
  schema: z.ZodType | undefined,
  value: unknown,
  pointer: string,
  errors: FieldError[],
): unknown {
  if (schema === undefined) return undefined;
  const parsed = schema.safeParse(value);
  for (const issue of parsed.error?.issues ?? []) {
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys : [];
    const paths = unknown.length > 0 ? unknown.map((key) => [...issue.path, key]) : [issue.path];
    for (const path of paths) {
      const detail = unknown.length > 0 ? 'Unknown field' : issue.message;
      errors.push({ pointer: [pointer, ...path.map(escapePointer)].join('/'), detail });
    }
  }
  return parsed.data;
}

// RFC 6901, 3
function escapePointer(segment: PropertyKey): string {
  return String(segment).replaceAll('~', '~0').replaceAll('/', '~1');
}
