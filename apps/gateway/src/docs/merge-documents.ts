import { isDeepStrictEqual } from 'node:util';
import { describeRefusals } from '@gatehouse/service-kit/core';
import { forwardedPaths, type UpstreamName } from '../upstreams.ts';
import { renameReferences, type Schemas, schemasFor } from './references.ts';
import type { Operation, ServiceDocument } from './service-document.ts';

// Those of hygiene.ts, the guard and the proxy: they can meet every operation, whatever its service says.
const refusals = describeRefusals([400, 502, 503, 504]);

const about = `
Everything that clients can call here, as the services declare it. **Authorize** signs you in, by authorization code with PKCE;
choose the scopes that you want to try. Errors are problem details (RFC 9457). Each operation lists its own; besides,
405 answers another method, and 417, 426, 431 and 501 answer what no HTTP API here understands.`;

/**
 * One OpenAPI document of those of the services, as a client of the gateway sees them: paths that the gateway does not
 * forward and operations for other services are left out, with the schemas that they alone need. A schema whose name
 * means something else in a document before is renamed.
 * @param documents by service; one without a document is named as missing
 */
export function mergeDocuments(
  issuer: string,
  documents: ReadonlyMap<UpstreamName, ServiceDocument | undefined>,
) {
  const paths: Record<string, Record<string, unknown>> = {};
  const schemas: Schemas = { ...refusals.schemas };
  const tags: ServiceDocument['tags'] = [];
  const scopes: Record<string, string[]> = {};
  for (const [service, document] of documents) {
    const operations = document === undefined ? [] : publicOperations(service, document);
    if (document === undefined || operations.length === 0) continue;
    const needed = schemasFor(operations, document.components.schemas);
    const names = namesBeside(schemas, needed, service);
    const rename = (name: string) => names[name] ?? name;
    for (const [name, schema] of Object.entries(needed))
      schemas[rename(name)] = renameReferences(schema, rename);
    for (const { path, method, operation } of operations) {
      const own = renameReferences(operation, rename);
      paths[path] = {
        ...paths[path],
        [method]: { ...own, responses: { ...refusals.responses, ...own.responses } },
      };
      for (const scope of scopesOf(operation)) {
        scopes[scope] = [...(scopes[scope] ?? []), `${method.toUpperCase()} ${path}`];
      }
    }
    tags.push(...document.tags);
  }
  const missing = [...documents].filter(([, document]) => document === undefined).map(([service]) => service);
  const notice =
    missing.length > 0 ? `\n\n**Missing, for it cannot be asked right now: ${missing.join(', ')}.**` : '';
  return {
    openapi: '3.1.0',
    info: { title: 'Gatehouse', version: '0.1.0', description: about.trim() + notice },
    servers: [{ url: issuer }],
    tags,
    paths,
    components: {
      schemas,
      securitySchemes: {
        oauth2: {
          type: 'oauth2',
          flows: {
            authorizationCode: {
              authorizationUrl: `${issuer}/authorize`,
              tokenUrl: `${issuer}/token`,
              scopes: Object.fromEntries(
                Object.entries(scopes).map(([scope, names]) => [scope, names.join(', ')]),
              ),
            },
          },
        },
      },
    },
  };
}

function publicOperations(service: UpstreamName, { paths }: ServiceDocument) {
  return Object.entries(paths)
    .filter(([path]) => isForwarded(path, service))
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    )
    .filter(({ operation }) => !operation['x-internal']);
}

function isForwarded(path: string, service: UpstreamName): boolean {
  return forwardedPaths.find((row) => `${path}/`.startsWith(`${row.path}/`))?.to === service;
}

/** New names for the schemas whose names are taken by others; two are the same only if what they refer to is, too. */
function namesBeside(taken: Schemas, added: Schemas, service: string): Record<string, string> {
  const clashing = Object.keys(added).filter((name) => {
    return Object.hasOwn(taken, name) && !isDeepStrictEqual(wholeOf(name, taken), wholeOf(name, added));
  });
  return Object.fromEntries(clashing.map((name) => [name, `${name}.${service}`]));
}

function wholeOf(name: string, schemas: Schemas): Schemas {
  return { [name]: schemas[name], ...schemasFor(schemas[name], schemas) };
}

function scopesOf({ security }: Operation): string[] {
  return security.flatMap((requirement) => requirement.oauth2 ?? []);
}
