import { z } from 'zod';
import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathsObject } from 'zod-openapi';
import { mediaTypesOf, type Route } from './route.ts';
import { eventsIn } from './server-sent-events.ts';

const ProblemSchema = z
  .object({
    type: z.string().meta({ examples: ['about:blank'] }),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string().optional().describe('For whoever reads it'),
    instance: z.string().optional().describe('The path that was asked for'),
    requestId: z.string().optional().describe('As X-Request-Id and the logs have it'),
    errors: z
      .array(z.object({ pointer: z.string().meta({ examples: ['#/name'] }), detail: z.string() }))
      .optional()
      .describe('What is wrong where'),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details' });

const text = z.string();
const retryAfter = z.object({ 'Retry-After': text.describe('Seconds to wait') });
const headersOfProblems: Record<number, z.ZodObject> = {
  401: z.object({ 'WWW-Authenticate': text.describe('What to bring (RFC 6750, RFC 9449)') }),
  403: z.object({
    'WWW-Authenticate': text.optional().describe('The scope that is missing, if that is the reason'),
  }),
  502: retryAfter,
  503: retryAfter,
  504: retryAfter,
};

const problems: Record<number, string> = {
  400: 'The request is malformed',
  401: 'No valid access token',
  403: 'The access token lacks the scope or the role',
  404: 'No such resource, or not one of the caller',
  409: 'The resource, as it is now, does not allow this',
  412: 'The resource has another version by now',
  413: 'The body is too large',
  415: 'The body has another media type than application/json',
  422: 'The request is well formed but invalid',
  428: 'The request does not tell which version it is about',
  502: 'The service broke off',
  503: 'A part of the system that the request needs is unavailable',
  504: 'The service did not answer in time',
};

/**
 * The OpenAPI 3.1 document of declared routes.
 * @param issuer the authorization server that the security scheme names
 */
export function createOpenApi(
  routes: readonly Route[],
  { title, description, issuer }: { title: string; description: string; issuer: string },
): ReturnType<typeof createDocument> {
  const paths: ZodOpenApiPathsObject = {};
  const opened: Record<string, string[]> = {};
  for (const declared of routes) {
    const { path, method, scope } = declared;
    paths[path] = { ...paths[path], [method]: { tags: [title], ...operationOf(declared) } };
    if (scope !== undefined) opened[scope] = [...(opened[scope] ?? []), `${method.toUpperCase()} ${path}`];
  }
  const scopes = Object.fromEntries(
    Object.entries(opened).map(([scope, names]) => [scope, names.join(', ')]),
  );
  return createDocument({
    openapi: '3.1.0',
    info: { title, description, version: '0.1.0' },
    servers: [{ url: issuer }],
    tags: [{ name: title, description }],
    paths,
    components: {
      securitySchemes: {
        oauth2: {
          type: 'oauth2',
          flows: {
            authorizationCode: {
              authorizationUrl: `${issuer}/authorize`,
              tokenUrl: `${issuer}/token`,
              refreshUrl: `${issuer}/token`,
              scopes,
            },
          },
        },
      },
    },
  });
}

/** Refusals of something that stands in front of the routes, as OpenAPI describes them, and the schemas they refer to. */
export function describeRefusals(statuses: readonly number[]) {
  const { paths, components } = createDocument({
    openapi: '3.1.0',
    info: { title: '', version: '' },
    paths: { '/': { get: { responses: refusalsOf(statuses) } } },
  });
  return { responses: paths?.['/']?.get?.responses ?? {}, schemas: components?.schemas ?? {} };
}

function operationOf(declared: Route): ZodOpenApiOperationObject {
  const refusals = [
    400,
    ...(declared.public ? [] : [401, 403]),
    ...(declared.params === undefined ? [] : [404]),
    ...(declared.conflicts ? [409] : []),
    ...(declared.ifMatch ? [412, 428] : []),
    ...(declared.body === undefined ? [] : [413, 415]),
    422,
    503,
  ];
  return {
    operationId: `${declared.method}${declared.path.replaceAll(/[-/{}]+(\w)?/g, (_all, first) => first?.toUpperCase() ?? '')}`,
    summary: declared.summary,
    ...describeCaller(declared),
    ...(!declared.public && declared.internal && { 'x-internal': true }),
    security: declared.public ? [] : [{ oauth2: [declared.scope] }],
    requestParams: {
      ...(declared.params && { path: declared.params as z.ZodObject }),
      ...(declared.query && { query: declared.query as z.ZodObject }),
      ...headersOf(declared),
    },
    ...(declared.body && requestBody(declared.body, mediaTypesOf(declared))),
    responses: {
      ...Object.fromEntries(
        Object.entries(declared.responses).map(([status, schema]) => [
          status,
          success(status, schema, declared),
        ]),
      ),
      ...(declared.method === 'get' && declared.versioned && { 304: notModified }),
      ...refusalsOf(refusals),
    },
  };
}

function requestBody(schema: z.ZodType, mediaTypes: string[]) {
  const content = Object.fromEntries(mediaTypes.map((type) => [type, { schema }]));
  return { requestBody: { required: true, content } };
}

function headersOf({ headers = z.object({}), ifMatch }: Route): { header?: z.ZodObject } {
  const known = ifMatch
    ? { 'if-match': text.meta({ description: 'The ETag that was read', param: { example: '"1"' } }) }
    : {};
  const header = (headers as z.ZodObject).extend(known);
  return Object.keys(header.shape).length === 0 ? {} : { header };
}

function describeCaller(declared: Route): { description?: string } {
  if (declared.public) return {};
  const { role, user, internal, owner } = declared;
  const demands = [
    ...(role === undefined ? [] : [`Needs the role \`${role}\`.`]),
    ...(user ? ['Needs a token that speaks for a user.'] : []),
    ...(internal ? ['Needs a token made for this service alone.'] : []),
    ...(owner === undefined
      ? []
      : [`For the ${owner === 'caller' ? 'owner' : 'owner, or an admin,'} alone.`]),
  ];
  return demands.length === 0 ? {} : { description: demands.join(' ') };
}

function success(status: string, schema: z.ZodType, { versioned }: Route) {
  const type = eventsIn(schema) === undefined ? 'application/json' : 'text/event-stream';
  const headers = {
    ...(status === '201' && { Location: text.describe('Where it is now') }),
    ...(versioned && { ETag: text.describe('Its version') }),
  };
  return {
    description: status === '201' ? 'Created' : 'Success',
    ...(Object.keys(headers).length > 0 && { headers: z.object(headers) }),
    ...(!(schema instanceof z.ZodUndefined) && { content: { [type]: { schema } } }),
  };
}

const notModified = {
  description: 'The reader has this version already, as If-None-Match says',
  headers: z.object({ ETag: text.describe('Its version') }),
};

function refusalsOf(statuses: readonly number[]) {
  return Object.fromEntries(statuses.map((status) => [status, refusal(status)]));
}

function refusal(status: number) {
  const headers = headersOfProblems[status];
  return {
    description: problems[status] ?? '',
    ...(headers && { headers }),
    content: { 'application/problem+json': { schema: ProblemSchema } },
  };
}
