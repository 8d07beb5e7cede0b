import { Problem } from '@gatehouse/service-kit';
import type { Request } from 'express';

/**
 * What a form says in a field, or nothing.
 * @throws Problem 400 when it says it twice
 */
export function formField({ body }: Request, name: string): string {
  const value: unknown = body?.[name];
  if (Array.isArray(value))
    throw new Problem(400, 'A field of this form was sent twice. Nothing was changed.');
  return typeof value === 'string' ? value : '';
}
