import { createDelegatedFetch, createPageSchema, parseAnswer, passedOn } from '@gatehouse/service-kit';
import type { Request } from 'express';
import { z } from 'zod';
import type { UsersConfig } from './config.ts';

const InstantSchema = z.iso.datetime().meta({ examples: ['2026-03-01T08:30:00.000Z'] });

/** An account as the authorization server keeps it. */
export const AccountSchema = z.object({
  id: z.uuid().meta({ examples: ['b0b00000-0000-4000-8000-000000000002'] }),
  username: z.string().meta({ examples: ['bob'] }),
  displayName: z.string().meta({ examples: ['Bob Example'] }),
  email: z
    .string()
    .nullable()
    .meta({ description: 'Null where nobody told one', examples: ['bob@example.com'] }),
  roles: z.array(z.string()).meta({ examples: [['customer']] }),
  disabled: z.boolean().meta({ examples: [false] }),
  createdAt: InstantSchema,
});
export type Account = z.output<typeof AccountSchema>;

const AuditEntrySchema = z
  .object({
    id: z.string(),
    at: InstantSchema,
    event: z.string().meta({ examples: ['sign-out'] }),
    outcome: z.enum(['success', 'failure']),
    actorId: z.string().nullable().describe('Who did it, if it was not the account itself'),
    clientId: z.string().nullable(),
    address: z.string().nullable(),
    requestId: z.string().nullable(),
    detail: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'AuditEntry' });

const AccountPageSchema = createPageSchema(AccountSchema);
/** What was done with an account and by it. */
export const AuditPageSchema = createPageSchema(AuditEntrySchema);

type Page = { limit: number; cursor?: string | undefined };
export type Action = 'disable' | 'enable' | 'logout';
export type AccountsClient = ReturnType<typeof createAccountsClient>;

/**
 * The accounts of the authorization server, with the rights of the caller.
 * @throws Problem from everything: 401 or 503, and what the accounts API itself refuses with
 */
export function createAccountsClient(config: UsersConfig) {
  function askWith(scope: string) {
    const accounts = { url: config.ACCOUNTS_URL, audience: 'urn:gatehouse:accounts', scope };
    const delegate = createDelegatedFetch(config, accounts);
    return async <Schema extends z.ZodType>(
      schema: Schema,
      req: Request,
      path: string,
      request?: { method: 'POST' | 'PUT'; json?: unknown },
    ) => {
      const send = await delegate(req);
      const answer = await send(path, request);
      if (answer.status !== 200 && answer.status !== 204) throw passedOn(answer);
      return parseAnswer(schema, answer.body);
    };
  }
  const askAsOwner = askWith('accounts:read');
  const askAsAdmin = askWith('accounts:admin');

  const pageOf = (path: string, { limit, cursor }: Page) =>
    `${path}?${new URLSearchParams({ limit: String(limit), ...(cursor !== undefined && { cursor }) })}`;

  return {
    /** The account of the caller. */
    own: (req: Request) => askAsOwner(AccountSchema, req, '/accounts/me'),
    list: (page: Page, req: Request) => askAsAdmin(AccountPageSchema, req, pageOf('/accounts', page)),
    find: (id: string, req: Request) => askAsAdmin(AccountSchema, req, `/accounts/${id}`),
    audit: (id: string, page: Page, req: Request) =>
      askAsAdmin(AuditPageSchema, req, pageOf(`/accounts/${id}/audit`, page)),
    act: (id: string, action: Action, req: Request) =>
      askAsAdmin(z.undefined(), req, `/accounts/${id}/${action}`, { method: 'POST' }),
    setRoles: (id: string, roles: readonly string[], req: Request) =>
      askAsAdmin(z.undefined(), req, `/accounts/${id}/roles`, { method: 'PUT', json: { roles } }),
  };
}
