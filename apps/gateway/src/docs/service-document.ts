import { isDeepStrictEqual } from 'node:util';
import { fetchJson } from '@gatehouse/service-kit/core';
import { z } from 'zod';
import { namesIn } from './references.ts';

const OperationSchema = z.object({
  operationId: z.string(),
  summary: z.string().optional(),
  description: z.string().optional(),
  tags: z.array(z.string()).optional(),
  deprecated: z.boolean().optional(),
  'x-internal': z.boolean().optional(),
  security: z.array(z.record(z.string(), z.array(z.string()))),
  parameters: z.array(z.looseObject({ name: z.string(), in: z.string() })).optional(),
  requestBody: z.looseObject({ content: z.record(z.string(), z.unknown()) }).optional(),
  responses: z.record(z.string().regex(/^[2-5]\d\d$/), z.looseObject({ description: z.string() })),
});
export type Operation = z.output<typeof OperationSchema>;

// Servers, security schemes and whatever else a service says of itself is left out: here the gateway speaks for it.
const ServiceDocumentSchema = z
  .object({
    openapi: z.string().regex(/^3\.1\.\d$/),
    tags: z.array(z.object({ name: z.string(), description: z.string().optional() })).default([]),
    paths: z.record(
      z.string().startsWith('/'),
      z.partialRecord(z.enum(['get', 'put', 'post', 'patch', 'delete']), OperationSchema),
    ),
    components: z
      .object({ schemas: z.record(z.string().regex(/^[\w.-]+$/), z.looseObject({})).default({}) })
      .prefault({}),
  })
  .refine(({ paths, components: { schemas } }) => {
    return namesIn([paths, schemas]).every((name) => Object.hasOwn(schemas, name));
  }, 'refers to a schema that it does not have');
export type ServiceDocument = z.output<typeof ServiceDocumentSchema>;

/** What a service says of itself, remembered. */
export interface RememberedDocument {
  /** The newest one that is known, the same object until it changes; undefined while the service never gave one. */
  current(): Promise<ServiceDocument | undefined>;
  close(): void;
}

const deadlineMs = 1_500;
const freshForMs = 10_000;
const retryAfterMs = 2_000;

/**
 * The OpenAPI document of a service, fetched when it is asked for: every ten seconds at most, and by one request at a
 * time. Only the first one is waited for; later the known one is given while a newer one is fetched, or cannot be had.
 * @param onFault told why a document could not be had
 */
export function rememberDocument(url: string, onFault: (error: unknown) => void): RememberedDocument {
  const closing = new AbortController();
  let known: ServiceDocument | undefined;
  let inFlight: Promise<void> | undefined;
  let askAgainAt = 0;

  function refresh(): Promise<void> {
    inFlight ??= fetchDocument()
      .then(
        (found) => {
          if (!isDeepStrictEqual(found, known)) known = found;
          askAgainAt = performance.now() + freshForMs;
        },
        (error) => {
          askAgainAt = performance.now() + retryAfterMs;
          if (!closing.signal.aborted) onFault(error);
        },
      )
      .finally(() => {
        inFlight = undefined;
      });
    return inFlight;
  }

  async function fetchDocument(): Promise<ServiceDocument> {
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(deadlineMs)]);
    const { status, body } = await fetchJson(new URL('/openapi.json', url).href, { signal });
    if (status !== 200) throw new Error(`the document was answered with ${status}`);
    return ServiceDocumentSchema.parse(body);
  }

  return {
    async current() {
      if (performance.now() >= askAgainAt && !closing.signal.aborted) {
        const refreshed = refresh();
        if (known === undefined) await refreshed;
      }
      return known;
    },
    close: () => closing.abort(),
  };
}
