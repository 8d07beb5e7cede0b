import { setTimeout as delay } from 'node:timers/promises';
import {
  type Context,
  context,
  createContextKey,
  createTraceState,
  type Span as OpenTelemetrySpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { z } from 'zod';
import { loadConfig, UrlSchema } from './config.ts';
import { createLogger, type Logger } from './log.ts';
import type { Closable } from './run-process.ts';
import { type Span, useTracing } from './trace.ts';

/** The standard variables that the packages in use leave to us. */
const TracingConfigSchema = z.object({
  OTEL_EXPORTER_OTLP_ENDPOINT: UrlSchema,
  OTEL_EXPORTER_OTLP_PROTOCOL: z.enum(['http/protobuf', 'http/json']).default('http/protobuf'),
  OTEL_EXPORTER_OTLP_HEADERS: z.string().optional(),
  OTEL_TRACES_SAMPLER: z
    .enum([
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ])
    .default('parentbased_always_on'),
  OTEL_TRACES_SAMPLER_ARG: z.coerce.number().min(0).max(1).default(1),
  OTEL_BSP_SCHEDULE_DELAY: z.coerce.number().int().min(1).max(60_000).default(5_000),
  OTEL_BSP_MAX_QUEUE_SIZE: z.coerce.number().int().min(1).max(65_536).default(2_048),
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: z.coerce.number().int().min(1).max(65_536).default(512),
});
type TracingConfig = z.output<typeof TracingConfigSchema>;

// The listener has 8 of the 10 s that a process has to stop.
const flushTimeoutMs = 1_500;
const exportTimeoutMs = 10_000;
const maxAttributeLength = 4_096;

/**
 * Starts OpenTelemetry's SDK: from now on there are spans, and they go to the collector in the background, in batches out
 * of a bounded queue. What does not fit there or cannot be sent is lost; no request waits for it.
 * @returns whose `close` sends what is left, for up to 1.5 s
 */
export async function startTracing(name: string, env: NodeJS.ProcessEnv): Promise<Closable> {
  const config = loadConfig(TracingConfigSchema, env);
  // The exporter reads the environment by itself, and knows no files.
  if (config.OTEL_EXPORTER_OTLP_HEADERS) env.OTEL_EXPORTER_OTLP_HEADERS = config.OTEL_EXPORTER_OTLP_HEADERS;
  const logger = createLogger({ name, level: 'warn' }, process.stdout);
  const processor = new BatchSpanProcessor({
    exporter: tellingFaults(await createExporter(config), logger),
    scheduledDelayMillis: config.OTEL_BSP_SCHEDULE_DELAY,
    maxQueueSize: config.OTEL_BSP_MAX_QUEUE_SIZE,
    maxExportBatchSize: config.OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    exportTimeoutMillis: exportTimeoutMs,
  });

  // Services in one process are services of their own in a trace.
  const providers = new Map<string, TracerProvider>();
  const createProvider = (service: string) =>
    new TracerProvider({
      // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
      resource: defaultResource()
        .merge(resourceFromAttributes({ 'service.name': service }))
        .merge(detectResources({ detectors: [envDetector] })),
      sampler: samplerOf(config),
      spanLimits: { attributeValueLengthLimit: maxAttributeLength },
      spanProcessors: [processor],
    });
  trace.setGlobalTracerProvider({
    getTracer(service, ...rest) {
      const provider = providers.get(service) ?? createProvider(service);
      providers.set(service, provider);
      return provider.getTracer(service, ...rest);
    },
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

  useTracing({
    openServerSpan(service, spanName, attributes, parent) {
      const tracer = trace.getTracer(service);
      const above = parent === undefined ? ROOT_CONTEXT : contextOf(parent);
      const span = tracer.startSpan(spanName, { kind: SpanKind.SERVER, attributes }, above);
      return underWay(span, above.setValue(tracerKey, tracer));
    },
    openClientSpan(spanName, attributes) {
      const above = context.active();
      const tracer = above.getValue(tracerKey) as Tracer | undefined;
      // A request that has ended is still around where it has started something that stays.
      if (!tracer || !trace.getSpan(above)?.isRecording()) return undefined;
      return underWay(tracer.startSpan(spanName, { kind: SpanKind.CLIENT, attributes }, above), above);
    },
  });
  return {
    async close() {
      useTracing(undefined);
      context.disable();
      trace.disable();
      // A fault has been told by then.
      const flushed = processor.shutdown().then(
        () => true,
        () => true,
      );
      if (!(await Promise.race([flushed, delay(flushTimeoutMs, false)]))) {
        logger.warn('the last spans could not be sent in time');
      }
    },
  };
}

async function createExporter({
  OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
}: TracingConfig): Promise<SpanExporter> {
  const { OTLPTraceExporter } =
    protocol === 'http/json'
      ? await import('@opentelemetry/exporter-trace-otlp-http')
      : await import('@opentelemetry/exporter-trace-otlp-proto');
  return new OTLPTraceExporter();
}

/** Logs when spans begin to be lost, and when they arrive again. */
function tellingFaults(exporter: SpanExporter, logger: Logger): SpanExporter {
  let failing = false;
  return {
    export(spans, onResult) {
      exporter.export(spans, (result) => {
        const failed = result.code !== 0;
        if (failed && !failing) logger.warn({ err: result.error }, 'spans cannot be sent and are lost');
        if (!failed && failing) logger.warn('spans arrive again');
        failing = failed;
        onResult(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}

function samplerOf({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: ratio }: TracingConfig): Sampler {
  const own = name.endsWith('always_on')
    ? new AlwaysOnSampler()
    : name.endsWith('always_off')
      ? new AlwaysOffSampler()
      : new TraceIdRatioBasedSampler(ratio);
  return name.startsWith('parentbased') ? new ParentBasedSampler({ root: own }) : own;
}

const tracerKey = createContextKey('gatehouse tracer');

function contextOf({
  traceparent,
  tracestate,
}: {
  traceparent: string;
  tracestate: string | undefined;
}): Context {
  const [, traceId, spanId, flags] = traceparent.split('-') as [string, string, string, string];
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
    ...(tracestate !== undefined && { traceState: createTraceState(tracestate) }),
  });
}

function underWay(span: OpenTelemetrySpan, above: Context): Span {
  const { traceId, spanId, traceFlags } = span.spanContext();
  const here = trace.setSpan(above, span);
  return {
    traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
    run: (work) => context.with(here, work),
    end({ name, attributes = {}, failure }) {
      if (name !== undefined) span.updateName(name);
      span.setAttributes(attributes);
      if (failure !== undefined) {
        span.setAttribute('error.type', failure).setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end();
    },
  };
}
