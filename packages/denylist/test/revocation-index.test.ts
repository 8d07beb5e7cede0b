import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRevocationIndex } from '../src/revocation-index.ts';
import { token } from './tokens.ts';

test('a sweep forgets what is past its expiry and a minute of leeway, and nothing else', () => {
  const index = createRevocationIndex();
  index.add({ jti: 'a', exp: 1000 });
  index.add({ gid: 'a', exp: 1000 });
  index.add({ sub: 'a', notBefore: 500, exp: 1000 });
  index.add({ jti: 'b', exp: 2000 });
  index.sweep(1060);
  assert.equal(index.size(), 4);
  index.sweep(1061);
  assert.equal(index.size(), 1);
  assert.equal(index.covers(token({ jti: 'a', gid: 'a', sub: 'a', iat: 1 })), false);
  assert.equal(index.covers(token({ jti: 'b' })), true);
});

test('an entry lives until the latest expiry it was given', () => {
  const index = createRevocationIndex();
  for (const exp of [1000, 3000, 2000]) {
    index.add({ jti: 'a', exp });
    index.add({ gid: 'a', exp });
    index.add({ sub: 'a', notBefore: 500, exp });
  }
  index.sweep(2900);
  assert.equal(index.size(), 3);
});
