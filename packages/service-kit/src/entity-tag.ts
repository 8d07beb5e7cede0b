import type { IncomingMessage } from 'node:http';
import { noteCheck } from '@gatehouse/auth-middleware';
import { Problem } from './problem.ts';

/** The versions of a resource that a request is about. */
export type Versions = readonly number[] | 'any';

// RFC 9110, 8.8.3, in a list as 5.6.1 has it.
const entityTag = /(?:W\/)?"[\x21\x23-\x7E\x80-\xFF]*"/;
const entityTags = new RegExp(`^(?:${entityTag.source}(?:[ \\t]*,[ \\t]*|$))+$`);
const ours = /(?:^|[ \t,])"(\d{1,9})"/g;

/** The strong entity tag of what has a version (RFC 9110, 8.8.3). */
export function entityTagOf({ version }: { version: number }): string {
  return `"${version}"`;
}

/**
 * The versions that If-Match names (RFC 9110, 13.1.1). A tag that is weak or none of ours names no version.
 * @throws Problem 428 without the header, 400 when it is malformed
 */
export function versionsIn(req: IncomingMessage): Versions {
  const header = req.headers['if-match'];
  if (header === undefined)
    throw refusal(
      req,
      428,
      'If-Match must tell which version this is about: send the ETag that you have read',
    );
  if (header === '*') return 'any';
  if (!entityTags.test(header)) throw refusal(req, 400, 'If-Match is not a list of entity tags');
  return [...header.matchAll(ours)].map(([, version]) => Number(version));
}

function refusal(req: IncomingMessage, status: number, detail: string): Problem {
  noteCheck(req, 'input', 'refused');
  return new Problem(status, detail);
}
