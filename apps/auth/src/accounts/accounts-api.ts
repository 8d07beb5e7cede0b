import type { Caller } from '@gatehouse/auth-middleware';
import {
  createPageSchema,
  createRouter,
  type Db,
  noContent,
  ok,
  PageQuerySchema,
  type Route,
  requireFound,
  route,
  TimestampSchema,
} from '@gatehouse/service-kit';
import type { Request, RequestHandler } from 'express';
import { z } from 'zod';
import { AuditEntrySchema } from '../audit/audit-entry.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { createAuditReader } from '../audit/audit-reader.ts';
import { accountsAudience } from '../protocol/scopes.ts';
import type { AccountAccess } from './account-access.ts';
import { type Act, createAccountAdmin } from './account-admin.ts';
import type { Account } from './accounts.ts';
import { type AccountsGuardDependencies, guardAccounts } from './accounts-guard.ts';

const RoleSchema = z.enum(['customer', 'admin']);

const AccountSchema = z.object({
  id: z.uuid(),
  username: z.string(),
  displayName: z.string(),
  email: z.string().nullable(),
  roles: z.array(z.string()),
  disabled: z.boolean(),
  createdAt: TimestampSchema,
});

const RolesSchema = z.strictObject({
  roles: z.array(RoleSchema).refine((roles) => new Set(roles).size === roles.length, 'Names a role twice'),
});

const AuditQuerySchema = PageQuerySchema.extend({
  cursor: z
    .string()
    .regex(/^[1-9]\d{0,14}$/, 'Not a cursor of this list')
    .optional(),
});

const forAdmins = { scope: 'accounts:admin', user: true } as const;

interface AccountsApiDependencies extends AccountsGuardDependencies {
  db: Db;
  access: AccountAccess;
  audit: AuditLog;
}

/**
 * The accounts, for the users service on behalf of whoever is signed in. The gateway does not forward these paths, and no
 * token that a client can get for itself opens them.
 */
export function accountsApi(deps: AccountsApiDependencies): RequestHandler {
  const guard = guardAccounts(deps, { audience: accountsAudience, adminScope: forAdmins.scope });
  return createRouter(accountRoutes(deps), guard);
}

function accountRoutes({ accounts, ...deps }: AccountsApiDependencies): readonly Route[] {
  const accountAdmin = createAccountAdmin(deps);
  const auditReader = createAuditReader(deps.db);
  const find = async (id: string) => toBody(requireFound(await accounts.find(id), 'No such account'));

  const act = (name: string, summary: string, perform: (act: Act) => Promise<void>): Route =>
    route('post', `/accounts/{id}/${name}`, {
      ...forAdmins,
      summary,
      responses: { 204: z.undefined() },
      handler: async ({ params, caller, req }) => {
        await perform(actOf(params.id, caller, req));
        return noContent;
      },
    });

  return [
    route('get', '/accounts/me', {
      scope: 'accounts:read',
      user: true,
      summary: 'Reads the account of the subject',
      responses: { 200: AccountSchema },
      handler: async ({ caller }) => ok(await find(caller.subject)),
    }),
    route('get', '/accounts', {
      ...forAdmins,
      summary: 'Lists the accounts, newest first',
      query: PageQuerySchema,
      responses: { 200: createPageSchema(AccountSchema) },
      handler: async ({ query }) => {
        const { items, next } = await accountAdmin.list(query);
        return ok({ items: items.map(toBody), next });
      },
    }),
    route('get', '/accounts/{id}', {
      ...forAdmins,
      summary: 'Reads an account',
      responses: { 200: AccountSchema },
      handler: async ({ params }) => ok(await find(params.id)),
    }),
    act('disable', 'Disables an account and ends its access', accountAdmin.disable),
    act('enable', 'Enables an account', accountAdmin.enable),
    act('logout', 'Ends the access of an account', accountAdmin.signOut),
    route('put', '/accounts/{id}/roles', {
      ...forAdmins,
      summary: 'Gives an account these roles and no others',
      body: RolesSchema,
      responses: { 204: z.undefined() },
      handler: async ({ params, body, caller, req }) => {
        await accountAdmin.setRoles(actOf(params.id, caller, req), body.roles);
        return noContent;
      },
    }),
    route('get', '/accounts/{id}/audit', {
      ...forAdmins,
      summary: 'Lists what concerns an account, newest first',
      query: AuditQuerySchema,
      responses: { 200: createPageSchema(AuditEntrySchema.omit({ accountId: true })) },
      handler: async ({ params, query: { limit, cursor } }) => {
        await find(params.id);
        const entries = await auditReader.listForAccount(params.id, { limit: limit + 1, cursor });
        const items = entries.slice(0, limit);
        const next = entries.length > limit ? (items.at(-1)?.id ?? null) : null;
        return ok({ items, next });
      },
    }),
  ];
}

function actOf(accountId: string, { subject, clientId }: Caller, req: Request): Act {
  return { accountId, actorId: subject, clientId, req };
}

function toBody(account: Account) {
  return { ...account, email: account.email ?? null };
}
