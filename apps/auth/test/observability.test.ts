import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createMetrics } from '@gatehouse/service-kit';
import { startTestAuth } from './start-test-auth.ts';

const observability = new URL('../../../infra/observability/', import.meta.url);

test('every metric of auth that the dashboard or an alert asks for is served', async () => {
  const metrics = createMetrics('auth');
  const auth = await startTestAuth({ metrics });
  try {
    const served = await metrics.registry.metrics();
    for (const file of ['grafana/dashboard.json', 'prometheus/rules.yml']) {
      const asked = readFileSync(new URL(file, observability), 'utf8').match(/\bauth_\w+/g) ?? [];
      assert.ok(asked.length > 0, file);
      for (const name of asked) assert.ok(served.includes(`# TYPE ${name} `), name);
    }
  } finally {
    await auth.close();
  }
});
