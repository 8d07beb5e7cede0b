import { isUtf8 } from 'node:buffer';
import {
  type Authenticate,
  type Caller,
  callerOf,
  noteCheck,
  requireRole,
  requireScope,
} from '@gatehouse/auth-middleware';
import express, { type Request, type RequestHandler, Router } from 'express';
import { z } from 'zod';
import { compose } from './compose.ts';
import { entityTagOf, type Versions, versionsIn } from './entity-tag.ts';
import { type FieldError, Problem, toProblem } from './problem.ts';
import { eventsIn, type ServerEvent, sendEvents } from './server-sent-events.ts';

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
type Responses = Record<number, z.ZodType>;
type None = z.ZodUndefined;

/** What a handler answers: a declared status with the body that its schema describes, and its version if it has one. */
type Reply<R extends Responses, V = undefined> = {
  [Status in keyof R & number]: {
    status: Status;
    body: z.input<R[Status]> & (V extends true ? { version: number } : unknown);
    headers?: Record<string, string>;
  };
}[keyof R & number];

/** What a route takes: its parts of a request, each as a schema. */
interface Schemas {
  params: z.ZodType;
  query: z.ZodType;
  headers: z.ZodType;
  body: z.ZodType;
}

interface Description<S extends Schemas, R extends Responses, V> {
  summary: string;
  /** Of the `{names}` of the path; without it, each is a UUID, in small letters by then. */
  params?: S['params'];
  query?: S['query'];
  /** Of the request headers, by their names in lower case, those that the route reads. */
  headers?: S['headers'];
  /** JSON; that of a PATCH is a merge patch (RFC 7396). */
  body?: S['body'];
  responses: R;
  /** That it can be refused with 409, for the documentation. */
  conflicts?: true;
  /** The `version` of what its handler answers leaves as ETag. */
  versioned?: V;
  /** Only with an If-Match that tells which versions the request is about; without one it is 428 (RFC 6585, 3). */
  ifMatch?: true;
}

interface Input<S extends Schemas> {
  params: z.output<S['params']>;
  query: z.output<S['query']>;
  headers: z.output<S['headers']>;
  body: z.output<S['body']>;
  /** What If-Match names; any version where the route does not ask for it. */
  versions: Versions;
  req: Request;
}

interface Guarded<S extends Schemas, R extends Responses, V = true | undefined> extends Description<S, R, V> {
  public?: never;
  scope: string;
  /** A role that the caller must have besides the scope. */
  role?: string;
  /** Only for tokens that speak for a user: one that a client got for itself is 403. */
  user?: true;
  /** Only for tokens made for this service alone, as other services get them: not a part of the public API. */
  internal?: true;
  /**
   * Whose resources the route is about. To anyone but the `caller` a resource is as unknown as a free id: 404. One of
   * `caller or admin`, or of the caller or another role, is no secret, and others are refused with 403. The handler sees to
   * it, the generated tests to that.
   */
  owner?: 'caller' | `caller or ${string}`;
  handler(input: Input<S> & { caller: Caller }): Promise<Reply<NoInfer<R>, NoInfer<V>>>;
}

interface Public<S extends Schemas, R extends Responses, V = true | undefined> extends Description<S, R, V> {
  public: true;
  scope?: never;
  handler(input: Input<S>): Promise<Reply<NoInfer<R>, NoInfer<V>>>;
}

interface Target {
  method: Method;
  path: string;
}

export type GuardedRoute = Target & Guarded<Schemas, Responses>;

/** The role that does as the owner does: `admin` of `caller or admin`. */
export function roleBeside(owner: GuardedRoute['owner']): string | undefined {
  return /^caller or (.+)$/.exec(owner ?? '')?.[1];
}

/** A declared route: the one source of its guard, its validation, its documentation and its negative tests. */
export type Route = GuardedRoute | (Target & Public<Schemas, Responses>);

type NameIn<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | NameIn<Rest>
  : never;
type IdsIn<Path extends string> = z.ZodObject<Record<NameIn<Path>, z.ZodUUID>>;

/**
 * Declares a route. One that names neither a scope nor `public: true` does not compile.
 * @param path as OpenAPI writes it: `/orders/{id}`
 */
export function route<
  Path extends string,
  R extends Responses,
  P extends z.ZodType = IdsIn<Path>,
  Q extends z.ZodType = None,
  H extends z.ZodType = None,
  B extends z.ZodType = None,
  V extends true | undefined = undefined,
>(
  method: Method,
  path: Path,
  declaration:
    | Guarded<{ params: P; query: Q; headers: H; body: B }, R, V>
    | Public<{ params: P; query: Q; headers: H; body: B }, R, V>,
): Route {
  return { ...idsIn(path), ...declaration, method, path } as unknown as Route;
}

function idsIn(path: string): { params?: z.ZodType } {
  // As the database spells them: a path may have capitals (RFC 9562, 4).
  const ids = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name, z.uuid().toLowerCase()]);
  return ids.length === 0 ? {} : { params: z.strictObject(Object.fromEntries(ids)) };
}

/**
 * Serves declared routes: guard, then validation, then the handler, then the answer cut to its schema. A known path
 * with another method is 405.
 * @param authenticate stands in front of every route that is not public, and ends its events once their reader's token is not good
 * @param audience of tokens made for this service alone; without it nobody passes an `internal` route
 */
export function createRouter(
  routes: readonly Route[],
  authenticate: Authenticate,
  audience?: string,
): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const methodsByPath = new Map<string, string[]>();
  for (const declared of routes) {
    const path = declared.path.replaceAll(/\{(\w+)\}/g, ':$1');
    router[declared.method](
      path,
      compose(
        ...guardsOf(declared, authenticate, audience),
        ...parsersOf(declared),
        handle(declared, authenticate),
      ),
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

function guardsOf(declared: Route, authenticate: RequestHandler, audience?: string): RequestHandler[] {
  if (declared.public) return [];
  return [
    authenticate,
    requireScope(declared.scope),
    ...(declared.role === undefined ? [] : [requireRole(declared.role)]),
    ...(declared.user ? [requireUser] : []),
    ...(declared.internal ? [requireAudience(audience)] : []),
  ];
}

function requireAudience(audience: string | undefined): RequestHandler {
  return (req, _res, next) => {
    const isOurs = callerOf(req).audience === audience;
    noteCheck(req, 'audience', isOurs ? 'ok' : 'refused');
    if (!isOurs) throw new Problem(403, 'This needs a token made for this service alone');
    next();
  };
}

const requireUser: RequestHandler = (req, _res, next) => {
  const isUser = callerOf(req).kind === 'user';
  noteCheck(req, 'user', isUser ? 'ok' : 'refused');
  if (!isUser) throw new Problem(403, 'This needs a token that speaks for a user');
  next();
};

const NoQuerySchema = z.strictObject({});

// A body of 64 KiB can have ten thousand faults.
const maxErrors = 20;

const parseJson = express.json({
  limit: '64kb',
  inflate: false,
  strict: false,
  // Whatever a route takes has been checked by then.
  type: () => true,
  // JSON.parse would put replacement characters where the bytes are no UTF-8 (RFC 8259, 8.1), and of nothing, body-parser
  // makes an empty object.
  verify: (_req, _res, body) => {
    if (body.length === 0) throw new Problem(400, 'The body is empty');
    if (!isUtf8(body)) throw new Problem(400, 'The body is not valid UTF-8');
  },
});

function parsersOf(declared: Route): RequestHandler[] {
  if (declared.body === undefined) return [];
  return [requireMediaType(mediaTypesOf(declared)), parseBody];
}

const parseBody: RequestHandler = (req, res, next) => {
  parseJson(req, res, (error) => {
    if (error !== undefined) noteCheck(req, 'input', 'refused');
    next(error);
  });
};

/** What the body of a route may be called. */
export function mediaTypesOf({ method }: Route): string[] {
  return method === 'patch' ? ['application/merge-patch+json', 'application/json'] : ['application/json'];
}

function requireMediaType(types: string[]): RequestHandler {
  return (req, _res, next) => {
    const charset = /;\s*charset\s*=\s*"?([^\s;"]*)/i.exec(req.headers['content-type'] ?? '')?.[1] ?? 'utf-8';
    if (!req.is(types) || charset.toLowerCase() !== 'utf-8') {
      // RFC 5789, 2.2
      const headers = req.method === 'PATCH' ? { 'Accept-Patch': types.join(', ') } : {};
      noteCheck(req, 'input', 'refused');
      throw new Problem(415, `The body must be ${types.join(' or ')} in UTF-8`, { headers });
    }
    next();
  };
}

function handle(declared: Route, { isLive }: Authenticate): RequestHandler {
  return async (req, res) => {
    const input = inputOf(declared, req);
    let reply: Reply<Responses>;
    try {
      reply = declared.public
        ? await declared.handler(input)
        : await declared.handler({ ...input, caller: callerOf(req) });
    } catch (error) {
      noteReply(declared, req, toProblem(error).status);
      throw error;
    }
    noteReply(declared, req, reply.status);
    const schema = declared.responses[reply.status];
    const schemas = eventsIn(schema);
    if (schemas !== undefined) {
      const isWelcome = declared.public ? () => true : () => isLive(callerOf(req));
      await sendEvents(res, reply.body as unknown as AsyncIterable<ServerEvent>, { schemas, isWelcome });
      return;
    }
    if (schema === undefined)
      throw new Error(`${declared.method} ${declared.path} answered an undeclared status`);
    // Parsing the answer as well keeps a column that nobody declared from leaving.
    const body = schema.parse(reply.body);
    res.status(reply.status).set({ 'Cache-Control': 'no-store', ...reply.headers });
    if (declared.versioned) res.set('ETag', entityTagOf(reply.body as { version: number }));
    if (body === undefined) res.end();
    else res.json(body);
  };
}

function noteReply(declared: Route, req: Request, status: number): void {
  noteCheck(req, 'handler', status);
  const owner = declared.public ? undefined : declared.owner;
  if (owner === undefined) return;
  if (status < 400) noteCheck(req, 'owner', 'ok');
  // Of someone else's no more is told than of a free id.
  else if (status === 404 && owner === 'caller') noteCheck(req, 'owner', "not found among the caller's");
  else if (status === 403) noteCheck(req, 'owner', "not the caller's");
}

function inputOf(declared: Route, req: Request): Input<Schemas> {
  const errors: FieldError[] = [];
  const input = {
    params: parse(declared.params, req.params, '/path', errors),
    query: parse(declared.query ?? NoQuerySchema, req.query, '/query', errors),
    headers: parse(declared.headers, req.headers, '/header', errors),
    body: parse(declared.body, req.body, '#', errors),
    versions: declared.ifMatch ? versionsIn(req) : ('any' as const),
    req,
  };
  noteCheck(req, 'input', errors.length > 0 ? `faults: ${errors.length}` : 'ok');
  if (errors.length > 0) {
    throw new Problem(422, 'The request does not fit the schema', { errors: errors.slice(0, maxErrors) });
  }
  return input;
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
