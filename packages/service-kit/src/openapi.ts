import { z } from 'zod';
import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathsObject } from 'zod-openapi';
import type { Route } from './route.ts';

const ProblemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional(),
    instance: z.string().optional(),
    requestId: z.string().optional(),
    errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details' });

const problems: Record<number, string> = {
  400: 'The request is malformed',
  401: 'No valid access token',
  403: 'The access token lacks the scope or the role',
  404: 'No such resource, or not one of the caller',
  409: 'The resource, as it is now, does not allow this',
  413: 'The body is too large',
  415: 'The body has another media type than application/json',
  422: 'The request is well formed but invalid',
  503: 'A part of the system that the request needs is unavailable',
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
  const scopes: Record<string, string> = {};
  for (const declared of routes) {
    paths[declared.path] = { ...paths[declared.path], [declared.method]: operationOf(declared) };
    if (!declared.public) scopes[declared.scope] = declared.scope;
  }
  return createDocument({
    openapi: '3.1.0',
    info: { title, description, version: '0.1.0' },
    servers: [{ url: issuer }],
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

function operationOf(declared: Route): ZodOpenApiOperationObject {
  const refusals = [
    ...(declared.public ? [] : [401, 403]),
    ...(declared.params === undefined ? [] : [404]),
    ...(declared.conflicts ? [409] : []),
    ...(declared.body === undefined ? [] : [400, 413, 415]),
    422,
    503,
  ];
  return {
    operationId: `${declared.method}${declared.path.replaceAll(/[/{}]+(\w)?/g, (_all, first) => first?.toUpperCase() ?? '')}`,
    summary: declared.summary,
    ...describeCaller(declared),
    security: declared.public ? [] : [{ oauth2: [declared.scope] }],
    requestParams: {
      ...(declared.params && { path: declared.params as z.ZodObject }),
      ...(declared.query && { query: declared.query as z.ZodObject }),
    },
    ...(declared.body && {
      requestBody: { required: true, content: { 'application/json': { schema: declared.body } } },
    }),
    responses: {
      ...Object.fromEntries(
        Object.entries(declared.responses).map(([status, schema]) => [status, success(status, schema)]),
      ),
      ...Object.fromEntries(refusals.map((status) => [status, refusal(status)])),
    },
  };
}

function describeCaller(declared: Route): { description?: string } {
  if (declared.public) return {};
  const demands = [
    ...(declared.role === undefined ? [] : [`Needs the role \`${declared.role}\`.`]),
    ...(declared.user ? ['Needs a token that speaks for a user.'] : []),
  ];
  return demands.length === 0 ? {} : { description: demands.join(' ') };
}

function success(status: string, schema: z.ZodType) {
  const description = status === '201' ? 'Created' : 'Success';
  return schema instanceof z.ZodUndefined
    ? { description }
    : { description, content: { 'application/json': { schema } } };
}

function refusal(status: number) {
  return {
    description: problems[status] ?? '',
    content: { 'application/problem+json': { schema: ProblemSchema } },
  };
}
