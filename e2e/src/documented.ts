import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { gateway, services } from './target.ts';

/** As far as these tests look into it. */
export interface OpenApiDocument {
  info: { description: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object> };
}

interface Operation {
  operationId: string;
  security: { oauth2: string[] }[];
  responses: Record<string, DescribedResponse>;
}

interface DescribedResponse {
  headers?: Record<string, { required?: boolean; schema: object }>;
  content?: Record<string, { schema: object }>;
}

export interface DocumentedAnswer {
  status: number;
  headers: Headers;
  text: string;
}

let documents: Promise<Map<string, OpenApiDocument>> | undefined;

/**
 * The document of the gateway and that of each service which is known, by origin. They are read once, with the first
 * answer of a test file: what is stopped later is documented still.
 */
export function documentsByOrigin(): Promise<Map<string, OpenApiDocument>> {
  documents ??= (async () => {
    const origins = [gateway, ...Object.values(services ?? {})].map((url) => new URL(url).origin);
    return new Map(await Promise.all(origins.map(async (origin) => [origin, await read(origin)] as const)));
  })();
  return documents;
}

const wholeWithinMs = 15_000;
// Services that the run has left out, as the document names them.
const { NOT_STARTED: notStarted = '' } = process.env;

async function read(origin: string): Promise<OpenApiDocument> {
  for (const giveUpAt = Date.now() + wholeWithinMs; ; await sleep(500)) {
    const answer = await fetch(`${origin}/openapi.json`, { signal: AbortSignal.timeout(5_000) });
    const document = (await answer.json()) as OpenApiDocument;
    const [, missing = ''] = /\*\*Missing.*: (.*)\.\*\*/.exec(document.info?.description) ?? [];
    if (answer.status === 200 && missing === notStarted) return document;
    assert.ok(Date.now() < giveUpAt, `${origin} has no whole document: ${document.info?.description}`);
  }
}

/**
 * Holds an answer to what the OpenAPI document of its origin says: the status is declared, the headers that are required are
 * there, and the body fits its schema. An answer about a path that is not documented must be that of a path which is not there.
 */
export async function assertDocumented(method: string, url: string, answer: DocumentedAnswer): Promise<void> {
  const { origin, pathname } = new URL(url);
  const document = (await documentsByOrigin()).get(origin);
  if (document !== undefined && isOwned(pathname, document)) {
    assertFits(document, method, pathname, answer);
  }
}

// What else there is, is the gateway's or the authorization server's.
function isOwned(pathname: string, { paths }: OpenApiDocument): boolean {
  const [, first] = pathname.split('/');
  return Object.keys(paths).some((path) => path.split('/')[1] === first);
}

/** What `assertDocumented` does, by a document at hand. */
export function assertFits(
  document: OpenApiDocument,
  method: string,
  pathname: string,
  answer: DocumentedAnswer,
): void {
  const name = `${method} ${pathname}, answered with ${answer.status}`;
  const path = findPath(document, pathname);
  const problem = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };
  if (path === undefined) {
    assert.ok([400, 401, 403, 404].includes(answer.status), `${name}: the path is not documented`);
    assertBody(name, document, problem, answer);
    return;
  }
  const operation = document.paths[path]?.[method === 'HEAD' ? 'get' : method.toLowerCase()];
  if (operation === undefined) {
    assert.ok([400, 401, 403, 405, 501].includes(answer.status), `${name}: the method is not documented`);
    if (method !== 'HEAD') assertBody(name, document, problem, answer);
    return;
  }
  const response = operation.responses[answer.status];
  assert.ok(response, `${name}: the status is not documented`);
  for (const [header, { required, schema }] of Object.entries(response.headers ?? {})) {
    const value = answer.headers.get(header);
    assert.ok(value !== null || !required, `${name}: it lacks the header ${header}`);
    if (value !== null) assertValid(`${name}, ${header}`, document, schema, value);
  }
  if (method !== 'HEAD') assertBody(name, document, response.content, answer);
}

/** The path of the document that leads there; one without parameters before others. */
function findPath({ paths }: OpenApiDocument, pathname: string): string | undefined {
  if (Object.hasOwn(paths, pathname)) return pathname;
  const segments = pathname.split('/');
  return Object.keys(paths).find((path) => {
    const declared = path.split('/');
    const fits = (segment: string, index: number) =>
      segment === segments[index] || (segment.startsWith('{') && segments[index] !== '');
    return declared.length === segments.length && declared.every(fits);
  });
}

function assertBody(
  name: string,
  document: OpenApiDocument,
  content: DescribedResponse['content'],
  { headers, text }: DocumentedAnswer,
): void {
  if (content === undefined) {
    assert.equal(text, '', `${name}: a body is not documented`);
    return;
  }
  const type = headers.get('content-type')?.split(';', 1)[0]?.trim() ?? '';
  const described = content[type];
  assert.ok(described, `${name}: the media type "${type}" is not documented`);
  assertValid(name, document, described.schema, JSON.parse(text));
}

const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true, keywords: ['components'] });
formats.default(ajv);
const validators = new WeakMap<object, ValidateFunction>();

/** The value is what a schema of the document describes. */
export function assertValid(
  name: string,
  { components }: OpenApiDocument,
  schema: object,
  value: unknown,
): void {
  // References start at the root of the document, and of it they need the components alone.
  const validate = validators.get(schema) ?? ajv.compile({ ...schema, components });
  validators.set(schema, validate);
  assert.ok(validate(value), `${name}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(value)}`);
}
