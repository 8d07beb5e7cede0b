import { z } from 'zod';

/** An entry of the audit log, as administrators read it. */
export const AuditEntrySchema = z.object({
  id: z.string(),
  at: z.iso.datetime(),
  event: z.string(),
  outcome: z.enum(['success', 'failure']),
  accountId: z.string().nullable(),
  actorId: z.string().nullable(),
  clientId: z.string().nullable(),
  address: z.string().nullable(),
  requestId: z.string().nullable(),
  detail: z.unknown(),
});
