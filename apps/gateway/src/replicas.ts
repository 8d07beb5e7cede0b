import { lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';

/**
 * Resolves a name for each new connection to all of its addresses, beginning with another one each time, so that
 * connections spread over the replicas behind a name. node:net goes on to the next address when one refuses, or says
 * nothing for a quarter of a second.
 */
export function createSpreadingLookup(resolve = lookup): LookupFunction {
  let turn = 0;
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const first = turn++ % addresses.length;
      callback(null, [...addresses.slice(first), ...addresses.slice(0, first)]);
    });
  };
}
