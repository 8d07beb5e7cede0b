import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVault } from '../src/protocol/vault.ts';

test('a vault takes a key of 32 bytes, and no other', () => {
  const key = (length: number) => Buffer.alloc(length, 7).toString('base64url');
  const sealed = createVault(key(32)).seal('text', 'context');
  assert.equal(createVault(key(32)).open(sealed, 'context'), 'text');
  for (const length of [0, 16, 31, 33]) assert.throws(() => createVault(key(length)), RangeError);
});
