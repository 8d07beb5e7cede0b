import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkOf, plainAddress } from '../src/index.ts';

test('one customer’s whole IPv6 network counts as one', () => {
  assert.equal(networkOf('203.0.113.7'), '203.0.113.7');
  for (const address of ['2001:db8:0:5::1', '2001:DB8::5:a:b:c:d', '2001:0db8:0000:0005:ffff:1:2:3'])
    assert.equal(networkOf(address), '2001:db8:0:5::/64');
  for (const zone of ['eth0', 'a:b:c:d:e:f']) assert.equal(networkOf(`fe80::1%${zone}`), 'fe80:0:0:0::/64');
  assert.equal(networkOf('2001:db8:0:6::1'), '2001:db8:0:6::/64');
  assert.equal(networkOf('1::'), '1:0:0:0::/64');
  assert.equal(networkOf('::1'), '0:0:0:0::/64');
});

test('an IPv4 address that a socket for both versions tells is that address', () => {
  for (const address of ['::ffff:192.0.2.1', '::FFFF:192.0.2.1', '192.0.2.1'])
    assert.equal(plainAddress(address), '192.0.2.1');
  for (const address of ['::ffff:c000:201', '2001:db8::1', '']) assert.equal(plainAddress(address), address);
});
