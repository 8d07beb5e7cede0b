import { z } from 'zod';

/** Text that PostgreSQL keeps as it came: a NUL character or half a surrogate pair is refused. */
export const TextSchema = z
  .string()
  .refine(
    (text) => text.isWellFormed() && !text.includes('\0'),
    'Contains a character that cannot be stored',
  );

/** A Date of the database, which leaves as ISO 8601 text in UTC. */
export const TimestampSchema = z
  .date()
  .transform((date) => date.toISOString())
  .pipe(z.iso.datetime().meta({ examples: ['2026-03-01T08:30:00.000Z'] }));
