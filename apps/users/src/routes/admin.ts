import { createPageSchema, noContent, ok, PageQuerySchema, type Route, route } from '@gatehouse/service-kit';
import { z } from 'zod';
import {
  type Account,
  AccountSchema,
  type AccountsClient,
  type Action,
  AuditPageSchema,
} from '../accounts-client.ts';
import type { ProfileStore } from '../store.ts';

const ManagedUserSchema = AccountSchema.meta({ id: 'ManagedUser' });

const RolesSchema = z
  .strictObject({ roles: z.array(z.enum(['customer', 'admin'])).max(2) })
  .meta({ examples: [{ roles: ['customer'] }] });

// Bob of the demo.
const UserParamsSchema = z.strictObject({
  id: z.uuid().meta({ param: { example: 'b0b00000-0000-4000-8000-000000000002' } }),
});

// Only the authorization server can read its cursors.
const QuerySchema = PageQuerySchema.extend({
  cursor: z.string().max(100).optional().describe('`next` of the page before; without it, the first page'),
});

const forAdmins = { scope: 'users:admin', role: 'admin', user: true } as const;

/** What administrators do with accounts. It is done by the authorization server, on behalf of the administrator. */
export function adminRoutes(profiles: ProfileStore, accounts: AccountsClient): readonly Route[] {
  /** The accounts under the names that they have given themselves since. */
  async function named(found: readonly Account[]): Promise<Account[]> {
    const names = await profiles.displayNames(found.map(({ id }) => id));
    return found.map((account) => ({
      ...account,
      displayName: names.get(account.id) ?? account.displayName,
    }));
  }

  const act = (action: Action, summary: string): Route =>
    route('post', `/users/{id}/${action}`, {
      ...forAdmins,
      summary,
      params: UserParamsSchema,
      responses: { 204: z.undefined() },
      ...(action === 'disable' && { conflicts: true }),
      handler: async ({ params, req }) => {
        await accounts.act(params.id, action, req);
        return noContent;
      },
    });

  return [
    route('get', '/users', {
      ...forAdmins,
      summary: 'Lists the users, newest first',
      query: QuerySchema,
      responses: { 200: createPageSchema(ManagedUserSchema) },
      handler: async ({ query, req }) => {
        const { items, next } = await accounts.list(query, req);
        return ok({ items: await named(items), next });
      },
    }),
    route('get', '/users/{id}', {
      ...forAdmins,
      summary: 'Reads a user',
      params: UserParamsSchema,
      responses: { 200: ManagedUserSchema },
      handler: async ({ params, req }) => {
        const account = await accounts.find(params.id, req);
        const [body = account] = await named([account]);
        return ok(body);
      },
    }),
    act('disable', 'Signs a user out everywhere and lets it sign in no more'),
    act('enable', 'Lets a disabled user sign in again'),
    act('logout', 'Signs a user out everywhere'),
    route('put', '/users/{id}/roles', {
      ...forAdmins,
      summary: 'Gives a user these roles and no others, also in tokens that are alive',
      params: UserParamsSchema,
      body: RolesSchema,
      responses: { 204: z.undefined() },
      conflicts: true,
      handler: async ({ params, body, req }) => {
        await accounts.setRoles(params.id, body.roles, req);
        return noContent;
      },
    }),
    route('get', '/users/{id}/audit', {
      ...forAdmins,
      summary: 'Lists what was done with an account and by it, newest first',
      params: UserParamsSchema,
      query: QuerySchema,
      responses: { 200: AuditPageSchema },
      handler: async ({ params, query, req }) => ok(await accounts.audit(params.id, query, req)),
    }),
  ];
}
