import { createHash } from 'node:crypto';
import { z } from 'zod';
import { Problem } from './problem.ts';

/** The header Idempotency-Key: a text of RFC 9651, as its draft has it; many clients leave the quotes out. */
export const IdempotencyKeySchema = z
  .string()
  .regex(/^("?)[\x21\x23-\x7e]{1,255}\1$/, 'must be 1 to 255 visible characters of ASCII')
  .transform((text) => text.replaceAll('"', ''))
  .meta({ type: 'string', examples: ['8e03978e-40d5-43e8-bc93-6894a57f9324'] });

/** Tells requests with one key apart: equal values have equal fingerprints, and others have others. */
export function fingerprintOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}

/**
 * What the first request with a key has made, for the one that repeats it.
 * @param first undefined when it has made nothing that is kept
 * @param fingerprint of the request that repeats the key
 * @throws Problem 422 when the first was another request, 409 when it is under way
 */
export function requireRepeated<Made extends { fingerprint: string | null }>(
  first: Made | undefined,
  fingerprint: string,
  isUnderWay: (first: Made) => boolean,
): Made {
  if (first && first.fingerprint !== fingerprint) {
    const errors = [{ pointer: '/header/idempotency-key', detail: 'Was sent with another body before' }];
    throw new Problem(422, 'The Idempotency-Key belongs to another request', { errors });
  }
  if (first === undefined || isUnderWay(first)) {
    const headers = { 'Retry-After': '1' };
    throw new Problem(409, 'A request with this Idempotency-Key is under way', { headers });
  }
  return first;
}
