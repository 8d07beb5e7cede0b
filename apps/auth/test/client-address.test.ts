import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { suite, test } from 'node:test';
import { clientAddressOf, noteClientAddress } from '../src/client-address.ts';

suite('the address of a client', () => {
  const noted = (remoteAddress: string | undefined, forwardedFor?: string): string => {
    const headers = { ...(forwardedFor !== undefined && { 'x-forwarded-for': forwardedFor }) };
    const req = { socket: { remoteAddress }, headers } as unknown as IncomingMessage;
    noteClientAddress(req);
    return clientAddressOf(req);
  };

  test('is what the gateway says, on a private network', () => {
    for (const gateway of ['127.0.0.1', '::1', '::ffff:172.18.0.5', '10.1.2.3', '192.168.0.9', 'fd00::7']) {
      assert.equal(noted(gateway, '203.0.113.7'), '203.0.113.7', gateway);
      assert.equal(noted(gateway, '2001:db8::7'), '2001:db8::7', gateway);
      assert.equal(noted(gateway, '::ffff:203.0.113.7'), '203.0.113.7', gateway);
    }
  });

  test('H17 is never what a client says about itself', () => {
    for (const client of ['203.0.113.7', '172.32.0.1', '2001:db8::7'])
      assert.equal(noted(client, '198.51.100.1'), client);
    assert.equal(noted('127.0.0.1', '198.51.100.1, 203.0.113.7'), '203.0.113.7');
  });

  test('is that of the connection when nothing else is an address', () => {
    for (const told of [undefined, '', 'unknown', '203.0.113.7:80', '203.0.113.7, nonsense'])
      assert.equal(noted('::ffff:127.0.0.1', told), '127.0.0.1');
    assert.equal(noted(undefined, '203.0.113.7'), '');
  });
});
