import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { plainAddress } from '@gatehouse/rate-limits';

const inside = new BlockList();
inside.addSubnet('127.0.0.0', 8, 'ipv4');
inside.addSubnet('10.0.0.0', 8, 'ipv4');
inside.addSubnet('172.16.0.0', 12, 'ipv4');
inside.addSubnet('192.168.0.0', 16, 'ipv4');
inside.addAddress('::1', 'ipv6');
inside.addSubnet('fc00::', 7, 'ipv6');
inside.addSubnet('fe80::', 10, 'ipv6');

const addresses = new WeakMap<IncomingMessage, string>();

/**
 * Notes where a request comes from, before the headers that tell are dropped: what the gateway says when the connection
 * is from a private network, and otherwise the address of the connection.
 */
export function noteClientAddress(req: IncomingMessage): void {
  const peer = plainAddress(req.socket.remoteAddress);
  // The gateway replaces this header; the last address is the one that the nearest hop has seen.
  const told = plainAddress(
    String(req.headers['x-forwarded-for'] ?? '')
      .split(',')
      .at(-1)
      ?.trim(),
  );
  const isInside = isIP(peer) > 0 && inside.check(peer, isIP(peer) === 6 ? 'ipv6' : 'ipv4');
  addresses.set(req, isInside && isIP(told) > 0 ? told : peer);
}

/** The address that `noteClientAddress` noted. */
export function clientAddressOf(req: IncomingMessage): string {
  return addresses.get(req) ?? plainAddress(req.socket.remoteAddress);
}
