import type { Call } from './exchange.ts';

/** A route that can be called, with a call of it that works but for its ids. */
export interface Operation {
  id: string;
  method: string;
  path: string;
  summary: string;
  scope: string | undefined;
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
  summary?: string;
  security?: { oauth2?: string[] }[];
  parameters?: { name: string; in: string; required?: boolean; schema?: Schema }[];
  requestBody?: { content: Record<string, { schema?: Schema; example?: unknown }> };
}

interface ApiDocument {
  paths: Record<string, Record<string, OperationObject>>;
  components: { schemas: Record<string, Schema> };
}

/** Every route behind the gateway, of its OpenAPI document. */
export async function operations(): Promise<Operation[]> {
  const response = await fetch('/openapi.json', { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`the document was answered with ${response.status}`);
  const document = (await response.json()) as ApiDocument;
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      id: operation.operationId,
      method: method.toUpperCase(),
      path,
      summary: operation.summary ?? '',
      scope: operation.security?.flatMap(({ oauth2 = [] }) => oauth2).join(' '),
      example: exampleOf(method.toUpperCase(), path, operation, document),
    })),
  );
}

function exampleOf(method: string, path: string, operation: OperationObject, document: ApiDocument): Call {
  const needed = (operation.parameters ?? []).filter((parameter) => parameter.required);
  const headers = needed
    .filter((parameter) => parameter.in === 'header')
    .map(({ name, schema = {} }): [string, string] => [name, String(sampleOf(schema, document))]);
  const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (type !== undefined) headers.push(['Content-Type', type]);
  const body = content && (content.example ?? sampleOf(content.schema ?? {}, document));
  return {
    method,
    path: path.replaceAll('{id}', '00000000-0000-4000-8000-000000000000'),
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
