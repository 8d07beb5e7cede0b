import {
  createDelegatedFetch,
  createPageSchema,
  Problem,
  parseAnswer,
  upstreamFault,
} from '@gatehouse/service-kit';
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

/** One thing that was done with an account. */
export const AuditEntrySchema = z
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

const RefusalSchema = z.object({
  detail: z.string().optional(),
  errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
});

/** What the accounts API says about a request, and the client should hear. */
const refusals = [403, 404, 409, 422];

type Page = { limit: number; cursor?: string | undefined };
export type Action = 'disable' | 'enable' | 'logout';
export type AccountsClient = ReturnType<typeof createAccountsClient>;

/**
 * The accounts of the authorization server, with the rights of the caller.
 * @throws Problem from everything: 401 or 503, and what the accounts API itself refuses with
 */
export function createAccountsClient(config: UsersConfig) {
  function askWith(scope: string) {
    const delegate = createDelegatedFetch({
      url: config.ACCOUNTS_URL,
      tokenUrl: config.TOKEN_URL,
      clientId: config.CLIENT_ID,
      clientSecret: config.CLIENT_SECRET,
      audience: 'urn:gatehouse:accounts',
      scope,
    });
    return async (req: Request, path: string, request?: { method: 'POST' | 'PUT'; json?: unknown }) => {
      const send = await delegate(req);
      const { status, body } = await send(path, request);
      if (status === 200 || status === 204) return body;
      if (!refusals.includes(status)) throw upstreamFault(new Error(`accounts answered ${status}`));
      const { detail, errors } = parseAnswer(RefusalSchema, body);
      throw new Problem(status, detail, errors && { errors });
    };
  }
  const askAsOwner = askWith('accounts:read');
  const askAsAdmin = askWith('accounts:admin');

  const pageOf = (path: string, { limit, cursor }: Page) =>
    `${path}?${new URLSearchParams({ limit: String(limit), ...(cursor !== undefined && { cursor }) })}`;

  return {
    /** The account of the caller. */
    async own(req: Request) {
      return parseAnswer(AccountSchema, await askAsOwner(req, '/accounts/me'));
    },

    async list(page: Page, req: Request) {
      return parseAnswer(createPageSchema(AccountSchema), await askAsAdmin(req, pageOf('/accounts', page)));
    },

    async find(id: string, req: Request) {
      return parseAnswer(AccountSchema, await askAsAdmin(req, `/accounts/${id}`));
    },

    async audit(id: string, page: Page, req: Request) {
      const answer = await askAsAdmin(req, pageOf(`/accounts/${id}/audit`, page));
      return parseAnswer(createPageSchema(AuditEntrySchema), answer);
    },

    async act(id: string, action: Action, req: Request) {
      await askAsAdmin(req, `/accounts/${id}/${action}`, { method: 'POST' });
    },

    async setRoles(id: string, roles: readonly string[], req: Request) {
      await askAsAdmin(req, `/accounts/${id}/roles`, { method: 'PUT', json: { roles } });
    },
  };
}
