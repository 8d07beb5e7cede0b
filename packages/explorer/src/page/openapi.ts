import { changed } from './changes.ts';
import type { Call } from './exchange.ts';

/** A route that can be called, with a call of it that works but for its ids. */
export interface Operation {
  id: string;
  /** Who serves it, as the document tags it. */
  service: string;
  method: string;
  path: string;
  summary: string;
  scopes: string[];
  example: Call;
}

interface Schema {
  $ref?: string;
  examples?: unknown[];
  example?: unknown;
  default?: unknown;
  type?: string;
  format?: string;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  items?: Schema;
}

interface OperationObject {
  operationId: string;
  tags?: string[];
  summary?: string;
  security?: { oauth2?: string[] }[];
  parameters?: { name: string; in: string; required?: boolean; example?: unknown; schema?: Schema }[];
  requestBody?: { content: Record<string, { schema?: Schema; example?: unknown }> };
}

interface ApiDocument {
  tags?: { name: string; description?: string }[];
  paths: Record<string, Record<string, OperationObject>>;
  components: { schemas: Record<string, Schema> };
}

/** What is known of the system. */
export interface Api {
  operations: readonly Operation[];
  /** Every scope that an operation asks for. */
  scopes: readonly string[];
  /** What stands behind the gateway besides the authorization server, with how it describes itself. */
  services: ReadonlyMap<string, string>;
  fault?: string;
}

// The tag of what the authorization server serves to those who look after it.
const tagOfAuth = 'admin';
let known: Api | undefined;

/** What the OpenAPI document of the gateway tells; nothing until it is here, and then the page is drawn again. */
export function api(): Api {
  if (known === undefined) {
    known = { operations: [], scopes: [], services: new Map() };
    void load();
  }
  return known;
}

async function load(): Promise<void> {
  try {
    const response = await fetch('/openapi.json', { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`the document was answered with ${response.status}`);
    known = read((await response.json()) as ApiDocument);
  } catch {
    known = { ...api(), fault: 'The list of routes cannot be had right now.' };
  }
  changed();
}

function read(document: ApiDocument): Api {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      id: operation.operationId,
      service: operation.tags?.[0] ?? '',
      method: method.toUpperCase(),
      path,
      summary: operation.summary ?? '',
      scopes: (operation.security ?? []).flatMap(({ oauth2 = [] }) => oauth2),
      example: exampleOf(method.toUpperCase(), path, operation, document),
    })),
  );
  const services = (document.tags ?? []).filter(({ name }) => name !== tagOfAuth);
  const scopes = [...new Set(operations.flatMap((operation) => operation.scopes))].sort();
  return {
    operations,
    scopes,
    services: new Map(services.map(({ name, description = '' }) => [name, description])),
  };
}

function exampleOf(method: string, path: string, operation: OperationObject, document: ApiDocument): Call {
  const valuesIn = (place: string) =>
    (operation.parameters ?? [])
      .filter((parameter) => parameter.required && parameter.in === place)
      .map(({ name, example, schema = {} }): [string, string] => [
        name,
        String(example ?? sampleOf(schema, document)),
      ]);
  const headers = valuesIn('header');
  const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (type !== undefined) headers.push(['Content-Type', type]);
  const body = content && (content.example ?? sampleOf(content.schema ?? {}, document));
  return {
    method,
    path: valuesIn('path').reduce((filled, [name, value]) => filled.replace(`{${name}}`, value), path),
    headers: Object.fromEntries(headers),
    body: body === undefined ? undefined : JSON.stringify(body, null, 2),
  };
}

/** A value that the schema allows, of its examples where it has some. */
function sampleOf(schema: Schema, document: ApiDocument, depth = 0): unknown {
  if (depth > 8) return undefined;
  if (schema.$ref !== undefined)
    return sampleOf(
      document.components.schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {},
      document,
      depth + 1,
    );
  const given = schema.example ?? schema.examples?.[0] ?? schema.default ?? schema.enum?.[0];
  if (given !== undefined) return given;
  if (schema.type === 'object') {
    const entries = Object.entries(schema.properties ?? {});
    return Object.fromEntries(entries.map(([name, part]) => [name, sampleOf(part, document, depth + 1)]));
  }
  if (schema.type === 'array') return [sampleOf(schema.items ?? {}, document, depth + 1)];
  if (schema.type === 'integer' || schema.type === 'number') return 1;
  if (schema.type === 'boolean') return true;
  return schema.format === 'uuid' ? '00000000-0000-4000-8000-000000000000' : 'text';
}
