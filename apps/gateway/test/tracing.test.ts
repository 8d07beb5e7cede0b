import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { nodeSettings, startCollector } from '@gatehouse/test-kit';
import { allUpstreamsAt } from '../src/start.ts';
import { publicHost, send } from './start-gateway.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
// Tells of each module that is resolved, by import and by require alike.
const spy = `data:text/javascript,import { registerHooks } from 'node:module';
registerHooks({ resolve(name, context, next) {
  const resolved = next(name, context);
  if (resolved.url.includes('opentelemetry')) process.stderr.write('LOADED ' + resolved.url + '\\n');
  return resolved;
} });`;

/** Asks the gateway, as a process of its own with no upstream, for one answer, and ends it. */
async function runGateway(t: TestContext, variables: Record<string, string>) {
  const collector = await startCollector();
  t.after(() => collector.close());
  const nowhere = 'http://127.0.0.1:1';
  const env = {
    PORT: '0',
    ISSUER: `http://${publicHost}`,
    JWKS_URI: `${nowhere}/jwks.json`,
    REDIS_URL: 'redis://127.0.0.1:1',
    ...allUpstreamsAt(nowhere),
    ...Object.fromEntries(
      Object.entries(variables).map(([name, value]) => [name, value.replace('COLLECTOR', collector.url)]),
    ),
  };
  const child = spawn(process.execPath, ['--import', spy, main], {
    env: { ...nodeSettings, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const closed = once(child, 'close');
  const listening = () => /"port":(\d+),"msg":"listening"/.exec(stdout)?.[1];
  while (listening() === undefined && child.exitCode === null) await delay(20);
  const port = Number(listening());
  if (port) {
    const answer = await send(port, '/token?code=code-of-this-test', {
      headers: { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
    });
    assert.equal(answer.status, 503);
    await send(port, '/health/live');
    child.kill('SIGTERM');
  }
  const [code] = await closed;
  const loaded = [...stderr.matchAll(/^LOADED .*\/node_modules\/(@opentelemetry\/[\w-]+)\//gm)];
  return { code, stderr, stdout, collector, loaded: [...new Set(loaded.map(([, name]) => name))] };
}

test('without OTEL_EXPORTER_OTLP_ENDPOINT nothing of OpenTelemetry is loaded but what prom-client asks for, its API', async (t) => {
  const { code, loaded } = await runGateway(t, {});
  assert.equal(code, 0);
  assert.deepEqual(loaded, ['@opentelemetry/api']);
});

test('OTEL_SDK_DISABLED=true is as if no endpoint were set, and nobody is called', async (t) => {
  const { loaded, collector } = await runGateway(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'COLLECTOR',
    OTEL_SDK_DISABLED: 'true',
  });
  assert.deepEqual(loaded, ['@opentelemetry/api']);
  assert.equal(collector.text(), '');
});

test('the last spans are sent before the process ends, under the name and with the headers that variables give', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tracing-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'headers');
  writeFileSync(file, 'x-collector-key=key-of-this-test\n');
  // Long enough that only the end can have sent them.
  const { code, loaded, collector } = await runGateway(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'COLLECTOR',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_BSP_SCHEDULE_DELAY: '60000',
    OTEL_SERVICE_NAME: 'front door',
    OTEL_EXPORTER_OTLP_HEADERS_FILE: file,
  });
  assert.equal(code, 0);
  assert.ok(loaded.includes('@opentelemetry/sdk-trace'));
  const seen = collector.spans.map(({ service, kind, name, failed, attributes }) => ({
    span: `${service} ${kind} ${name}`,
    failed,
    error: attributes['error.type'],
  }));
  // Checks of health leave no span.
  assert.deepEqual(seen, [
    { span: 'front door client GET', failed: true, error: 'ECONNREFUSED' },
    { span: 'front door server GET /token', failed: true, error: '503' },
  ]);
  assert.deepEqual(
    collector.headers.map((headers) => headers['x-collector-key']),
    ['key-of-this-test'],
  );
  assert.equal(collector.spans[1]?.parentSpanId, 'b'.repeat(16));
  assert.ok(!collector.text().includes('code-of-this-test'));
});

test('spans leave as protobuf unless told otherwise, and a collector that refuses them is named once in the log', async (t) => {
  const { code, collector, stdout } = await runGateway(t, { OTEL_EXPORTER_OTLP_ENDPOINT: 'COLLECTOR' });
  assert.equal(code, 0);
  assert.equal(collector.headers[0]?.['content-type'], 'application/x-protobuf');
  assert.equal(stdout.split('"msg":"spans cannot be sent and are lost"').length, 2);
});

test('OTEL_TRACES_SAMPLER decides, whatever the client asks for', async (t) => {
  const { collector, stdout } = await runGateway(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'COLLECTOR',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_TRACES_SAMPLER: 'traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0',
  });
  assert.equal(collector.text(), '');
  assert.match(stdout, new RegExp(`"traceId":"${'a'.repeat(32)}"`));
});

test('R40 a wrong OTEL_ variable is one line and exit code 78', async (t) => {
  const { code, stderr } = await runGateway(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'COLLECTOR',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    OTEL_TRACES_SAMPLER: 'sometimes',
    OTEL_TRACES_SAMPLER_ARG: '2',
  });
  assert.equal(code, 78);
  for (const name of ['OTEL_EXPORTER_OTLP_PROTOCOL', 'OTEL_TRACES_SAMPLER', 'OTEL_TRACES_SAMPLER_ARG']) {
    assert.match(stderr, new RegExp(`^gateway: ${name}: `, 'm'));
  }
});
