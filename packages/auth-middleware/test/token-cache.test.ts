import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTokenCache } from '../src/token-cache.ts';

test('the cache never holds more than its size and keeps what is asked for', () => {
  const cache = createTokenCache<number>(10);
  cache.set('hot', -1);
  for (let i = 0; i < 1000; i++) {
    cache.set(`cold ${i}`, i);
    assert.equal(cache.get('hot'), -1);
  }
  const kept = Array.from({ length: 1000 }, (_, i) => cache.get(`cold ${i}`)).filter((n) => n !== undefined);
  assert.ok(kept.length > 0 && kept.length < 10, `${kept.length} kept`);
});

test('the cache is empty after clear', () => {
  const cache = createTokenCache<number>(4);
  for (const key of ['a', 'b', 'c']) cache.set(key, 1);
  cache.clear();
  for (const key of ['a', 'b', 'c']) assert.equal(cache.get(key), undefined);
});
