import { Problem } from '@gatehouse/service-kit/core';

/** Refuses the methods of a path that can only be read. */
export function onlyGet(): never {
  throw new Problem(405, undefined, { headers: { Allow: 'GET, HEAD' } });
}
