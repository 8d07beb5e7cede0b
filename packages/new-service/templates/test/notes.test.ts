import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { createTestBench, testRefusals } from '@gatehouse/service-kit/testing';
import { notes } from '../src/app.ts';

const bench = await createTestBench();
after(bench.close);
const service = await bench.start(notes);

const newCaller = () => ({ sub: randomUUID(), scope: 'notes:read notes:write' });
const keep = (as: Record<string, unknown>, text: string) =>
  service.call('POST', '/notes', { as, json: { text } });

testRefusals(service, bench, {
  '/notes/{id}': async (sub) => `/notes/${(await keep({ ...newCaller(), sub }, 'mine')).body.id}`,
});

test('what was kept is read back where Location leads to, and listed for its owner alone', async () => {
  const as = newCaller();
  const kept = await keep(as, 'The first of many.');
  assert.equal(kept.status, 201);
  const read = await service.call('GET', kept.headers.get('location') ?? '', { as });
  assert.deepEqual(read.body, kept.body);
  assert.deepEqual((await service.call('GET', '/notes', { as })).body.items, [kept.body]);
  assert.deepEqual((await service.call('GET', '/notes', { as: newCaller() })).body.items, []);
});
