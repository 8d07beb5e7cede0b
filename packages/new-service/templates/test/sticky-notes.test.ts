import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { createTestBench, testRefusals } from '@gatehouse/service-kit/testing';
import { stickyNotes } from '../src/app.ts';

const bench = await createTestBench();
after(bench.close);
const service = await bench.start(stickyNotes);

const newCaller = () => ({ sub: randomUUID(), scope: 'sticky-notes:read sticky-notes:write' });
const keep = (as: Record<string, unknown>, text: string) =>
  service.call('POST', '/sticky-notes', { as, json: { text } });

testRefusals(service, bench, {
  '/sticky-notes/{id}': async (sub) =>
    `/sticky-notes/${(await keep({ ...newCaller(), sub }, 'mine')).body.id}`,
});

test('what was kept is read back where Location leads to, and listed for its owner alone', async () => {
  const as = newCaller();
  const kept = await keep(as, 'The first of many.');
  assert.equal(kept.status, 201);
  const read = await service.call('GET', kept.headers.get('location') ?? '', { as });
  assert.deepEqual(read.body, kept.body);
  assert.deepEqual((await service.call('GET', '/sticky-notes', { as })).body.items, [kept.body]);
  assert.deepEqual((await service.call('GET', '/sticky-notes', { as: newCaller() })).body.items, []);
});
