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

test('a full cache of which everything is asked for has room for one more, and holds no more than before', () => {
  const cache = createTokenCache<number>(100);
  const keys = Array.from({ length: 100 }, (_, i) => `hot ${i}`);
  for (const key of keys) cache.set(key, 1);
  const kept = () => keys.filter((key) => cache.get(key) !== undefined).length;
  assert.equal(kept(), 100);
  cache.set('hot 99', 2);
  assert.equal(kept(), 100, 'what is there already needs no room');
  cache.set('new', 1);
  assert.equal(cache.get('new'), 1);
  assert.equal(kept(), 99);
  assert.equal(cache.get('hot 10'), undefined, 'ten others have had their second chance');
});

test('what was asked for once is forgotten when it is not asked for again', () => {
  const cache = createTokenCache<number>(3);
  for (const key of ['once', 'b', 'c']) cache.set(key, 1);
  cache.get('once');
  for (const key of ['d', 'e', 'f']) cache.set(key, 1);
  assert.equal(cache.get('once'), undefined);
  assert.equal(cache.get('d'), 1);
});

test('the cache is empty after clear', () => {
  const cache = createTokenCache<number>(4);
  for (const key of ['a', 'b', 'c']) cache.set(key, 1);
  cache.clear();
  for (const key of ['a', 'b', 'c']) assert.equal(cache.get(key), undefined);
});
