import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRevocationIndex, createSweeper } from '../src/revocation-index.ts';
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

test('ids are told apart by each of their characters, whatever their form', () => {
  const random = 'x'.repeat(42);
  const ids = [
    `${random}A`,
    `${random}B`,
    `${random}E`,
    random,
    `${random}AA`,
    `y${random.slice(1)}A`,
    'ü'.repeat(43),
  ];
  for (const revoked of ids) {
    const index = createRevocationIndex();
    index.add({ jti: revoked, exp: 1000 });
    index.add({ gid: revoked, exp: 1000 });
    for (const id of ids) {
      assert.equal(index.covers(token({ jti: id })), id === revoked, id);
      assert.equal(index.covers(token({ gid: id })), id === revoked, id);
    }
  }
});

test('R29 what expired by a clock that was set less than an hour ago is kept, until the clock is believed', () => {
  const minuteMs = 60_000;
  const index = createRevocationIndex();
  const sweepAsTimePasses = createSweeper(index);
  let aheadMs = 0;
  /** Minutes go by, in which the index is swept as ever. */
  const wait = (from: number, until: number) => {
    for (let at = from; at <= until; at += 0.5) {
      sweepAsTimePasses(1e12 + aheadMs + at * minuteMs, at * minuteMs);
    }
  };
  const expOf = (minute: number) => (1e12 + minute * minuteMs) / 1000;
  index.add({ jti: 'first', exp: expOf(5) });
  wait(0, 59);
  assert.equal(index.size(), 1, 'nobody knows yet whether the clock is right');
  wait(60, 61);
  assert.equal(index.size(), 0);

  index.add({ jti: 'second', exp: expOf(70) });
  aheadMs = 120 * minuteMs;
  wait(62, 64);
  aheadMs = 0;
  wait(65, 67);
  assert.equal(index.covers(token({ jti: 'second' })), true);
  aheadMs = -30 * minuteMs;
  wait(68, 127);
  assert.equal(index.covers(token({ jti: 'second' })), true);
  wait(128, 130);
  assert.equal(index.size(), 0, 'a clock that stays as it was set is believed in the end');
});
