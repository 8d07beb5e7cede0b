import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { startTestGateway, until } from './start-gateway.ts';

test('H42 a thousand errors of each kind raise no warning of a leak and keep no descriptor, and the gateway answers as before', async (t) => {
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on('warning', note);
  t.after(() => process.off('warning', note));
  const gateway = await startTestGateway(t, {
    answer: (_req, res) => res.destroy(),
  });
  const authorization = await gateway.bearer();
  const kinds: Record<number, [path: string, options?: Parameters<typeof gateway.send>[1]]> = {
    400: ['/items/%2e%2e/x'],
    401: ['/items', { headers: { authorization: 'Bearer x' } }],
    403: ['/users/me/items', { headers: { authorization: await gateway.bearer({ scope: 'profile:read' }) } }],
    404: ['/nowhere'],
    405: ['/docs', { method: 'DELETE' }],
    502: ['/items', { headers: { authorization } }],
  };
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  for (const [status, [path, options]] of Object.entries(kinds)) {
    for (let sent = 0; sent < 1000; sent += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => gateway.send(path, options)));
      // A breaker may answer for an upstream that always fails.
      const expected = status === '502' ? [502, 503] : [Number(status)];
      for (const answer of answers)
        assert.ok(expected.includes(answer.status), `${path} is ${answer.status}`);
    }
  }
  await until(() => descriptors() <= before + 10, 5_000);
  assert.deepEqual(warnings, []);
  assert.equal((await gateway.send('/health/live')).status, 200);
});
