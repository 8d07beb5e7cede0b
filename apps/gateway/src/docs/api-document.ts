import type { Logger } from '@gatehouse/service-kit/core';
import { forwardedPaths, type UpstreamName } from '../upstreams.ts';
import { mergeDocuments } from './merge-documents.ts';
import { rememberDocument, type ServiceDocument } from './service-document.ts';

/** The OpenAPI document of everything behind the gateway. */
export interface ApiDocument {
  /** Its JSON, of what is known of the services at this moment. */
  text(): Promise<string>;
  close(): void;
}

// What asks for an access token is an API, and describes itself.
const services = new Set(forwardedPaths.filter(({ guard }) => guard === 'bearer').map(({ to }) => to));

/** Merges what the services behind `urls` say of themselves; one that is away never keeps the others from being shown. */
export function createApiDocument(
  { issuer, urls }: { issuer: string; urls: Record<UpstreamName, string> },
  logger: Logger,
): ApiDocument {
  const remembered = [...services].map((service) => ({
    service,
    document: rememberDocument(urls[service], (err) => {
      logger.warn({ err, upstream: service }, 'its OpenAPI document cannot be had');
    }),
  }));
  let merged: { from: (ServiceDocument | undefined)[]; text: string } | undefined;

  return {
    async text() {
      const from = await Promise.all(remembered.map(({ document }) => document.current()));
      if (merged === undefined || from.some((document, index) => document !== merged?.from[index])) {
        const documents = new Map(remembered.map(({ service }, index) => [service, from[index]]));
        merged = { from, text: JSON.stringify(mergeDocuments(issuer, documents)) };
      }
      return merged.text;
    },
    close() {
      for (const { document } of remembered) document.close();
    },
  };
}
