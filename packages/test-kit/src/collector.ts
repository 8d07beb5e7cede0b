import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { listenApp } from './listen-app.ts';

/** A finished span as a collector received it. */
export interface CollectedSpan {
  service: unknown;
  name: string;
  kind: 'internal' | 'server' | 'client';
  traceId: string;
  spanId: string;
  /** Undefined at the top of what was collected. */
  parentSpanId: string | undefined;
  attributes: Record<string, unknown>;
  failed: boolean;
}

/** An OpenTelemetry collector reduced to what a test asks of it: OTLP over HTTP, in JSON alone. */
export interface Collector {
  url: string;
  spans: CollectedSpan[];
  /** The headers of each request. */
  headers: IncomingHttpHeaders[];
  /** Everything received, as text. */
  text(): string;
  /** Resolves once as many spans fit; rejects after 10 s. */
  find(fits: (span: CollectedSpan) => boolean, count?: number): Promise<CollectedSpan[]>;
  close(): Promise<void>;
}

type AnyValue = Record<string, unknown> & { arrayValue?: { values: AnyValue[] } };
type Attributes = { key: string; value: AnyValue }[];
interface TraceExport {
  resourceSpans: {
    resource: { attributes: Attributes };
    scopeSpans: {
      spans: {
        name: string;
        kind: number;
        traceId: string;
        spanId: string;
        parentSpanId?: string;
        attributes: Attributes;
        status: { code?: number };
      }[];
    }[];
  }[];
}

/** Starts a collector on a free port. */
export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const bodies: string[] = [];
  const server = await listenApp(async (req, res) => {
    headers.push(req.headers);
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    if (req.url !== '/v1/traces' || req.headers['content-type'] !== 'application/json') {
      res.writeHead(400).end();
      return;
    }
    bodies.push(body);
    spans.push(...spansIn(JSON.parse(body)));
    res.setHeader('content-type', 'application/json').end('{}');
  });
  return {
    url: server.url,
    spans,
    headers,
    text: () => bodies.join('\n'),
    async find(fits, count = 1) {
      for (const giveUpAt = performance.now() + 10_000; ; await delay(20)) {
        const found = spans.filter(fits);
        if (found.length >= count) return found;
        if (performance.now() > giveUpAt) {
          const names = spans.map(({ service, kind, name }) => `${service}: ${kind} ${name}`);
          throw new Error(`${found.length} of ${count} spans after 10 s, among:\n${names.join('\n')}`);
        }
      }
    },
    close: server.close,
  };
}

const kinds = { 1: 'internal', 2: 'server', 3: 'client' } as const;

function spansIn({ resourceSpans }: TraceExport): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) =>
      scope.spans.map(({ name, kind, traceId, spanId, parentSpanId, attributes, status }) => ({
        service: toRecord(resource.attributes)['service.name'],
        name,
        kind: kinds[kind as keyof typeof kinds],
        traceId,
        spanId,
        parentSpanId: parentSpanId || undefined,
        attributes: toRecord(attributes),
        failed: status.code === 2,
      })),
    ),
  );
}

function toRecord(attributes: Attributes): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, toValue(value)]));
}

function toValue(value: AnyValue): unknown {
  return value.arrayValue ? value.arrayValue.values.map(toValue) : Object.values(value)[0];
}
