import assert from 'node:assert/strict';
import { test } from 'node:test';
import express from 'express';
import { createHealth, createLogger, createMetrics, ProcessConfigSchema, serve } from '../src/index.ts';

test('a drain is told in the log, turns readiness off, ends connections, and lasts until it is hurried', async (t) => {
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line)) });
  const health = createHealth({}, logger);
  const config = ProcessConfigSchema.parse({
    PORT: '0',
    ISSUER: 'http://localhost:8080',
    DRAIN_DELAY_SECONDS: '60',
  });
  const service = await serve(
    express().use('/health', health.router),
    { config, health, metrics: createMetrics('test'), logger },
    new AsyncDisposableStack(),
  );
  t.after(() => service.close());
  const hurrying = new AbortController();
  const drained = service.drain(hurrying.signal);
  const answer = await fetch(`${service.listener.url}/health/ready`);
  assert.equal(answer.status, 503);
  assert.equal(answer.headers.get('connection'), 'close');
  assert.deepEqual(
    lines.flatMap(({ msg, drainDelaySeconds }) => (msg === 'draining' ? [drainDelaySeconds] : [])),
    [60],
  );
  hurrying.abort();
  await drained;
});
