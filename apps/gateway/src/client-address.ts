import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { networkOf, plainAddress } from '@gatehouse/rate-limits';
import { z } from 'zod';

const addressKey = Symbol('client address');
const networkKey = Symbol('client network');

type Placed = IncomingMessage & { [addressKey]?: string; [networkKey]?: string };

/** Addresses and CIDR ranges, comma separated, as a list that addresses can be held against. */
export const ProxyListSchema = z
  .string()
  .default('')
  .transform((text, context) => {
    const list = new BlockList();
    for (const entry of text.split(',').map((part) => part.trim())) {
      if (entry !== '' && !addTo(list, entry)) {
        context.addIssue({ code: 'custom', message: 'must be addresses or CIDR ranges, comma separated' });
      }
    }
    return list;
  });

function addTo(list: BlockList, entry: string): boolean {
  const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
  const version = isIP(address);
  const most = version === 6 ? 128 : 32;
  const prefix = bits === undefined ? most : Number(bits);
  if (version === 0 || prefix > most) return false;
  list.addSubnet(address, prefix, version === 6 ? 'ipv6' : 'ipv4');
  return true;
}

/** Whether an address is on the list. */
export function isListed(list: BlockList, address: string): boolean {
  const version = isIP(address);
  return version !== 0 && list.check(address, version === 6 ? 'ipv6' : 'ipv4');
}

/**
 * Makes what notes where a request comes from, before the headers that tell are dropped: the address of the connection, and where
 * that is a trusted proxy, the right-most address in X-Forwarded-For that is none. What is not an address ends the
 * search at the proxy that wrote it.
 */
export function noteClientAddress(trusted: BlockList): (req: IncomingMessage) => void {
  // Asking a list costs more than all else here, even an empty one.
  const trustsNobody = trusted.rules.length === 0;
  return (req) => {
    const peer = plainAddress(req.socket.remoteAddress);
    (req as Placed)[addressKey] = trustsNobody
      ? peer
      : behindProxies(peer, req.headers['x-forwarded-for'], trusted);
  };
}

function behindProxies(peer: string, told: string | string[] | undefined, trusted: BlockList): string {
  let address = peer;
  const hops = String(told ?? '').split(',');
  while (isListed(trusted, address)) {
    const hop = plainAddress(withoutPort(hops.pop()?.trim() ?? ''));
    if (isIP(hop) === 0) return address;
    address = hop;
  }
  return address;
}

/** Some balancers add the port: 192.0.2.1:443, [2001:db8::1]:443. */
function withoutPort(hop: string): string {
  const [, ipv6, ipv4] = /^(?:\[([^\]]+)\]|([\d.]+))(?::\d+)?$/.exec(hop) ?? [];
  return ipv6 ?? ipv4 ?? hop;
}

/** The address that noteClientAddress() noted. */
export function clientAddressOf(req: IncomingMessage): string {
  return (req as Placed)[addressKey] ?? plainAddress(req.socket.remoteAddress);
}

/** Its network, which is what one customer has to himself. */
export function clientNetworkOf(req: IncomingMessage): string {
  const placed = req as Placed;
  placed[networkKey] ??= networkOf(clientAddressOf(req));
  return placed[networkKey];
}
