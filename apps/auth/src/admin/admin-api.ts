import {
  createOpenApi,
  createPageSchema,
  createRouter,
  type Db,
  type Health,
  noContent,
  ok,
  Problem,
  type Route,
  requireFound,
  route,
  serverEvents,
} from '@gatehouse/service-kit';
import { type RequestHandler, Router } from 'express';
import { z } from 'zod';
import type { AccountAccess } from '../accounts/account-access.ts';
import { type AccountsGuardDependencies, guardAccounts } from '../accounts/accounts-guard.ts';
import { AuditEntrySchema } from '../audit/audit-entry.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { createAuditReader } from '../audit/audit-reader.ts';
import type { ConsentStore } from '../interaction/consents.ts';
import { listKeys, rotateKeys } from '../keys/keys.ts';
import { apiAudience } from '../protocol/scopes.ts';
import type { Vault } from '../protocol/vault.ts';
import { createLiveEvents } from './live-events.ts';

const KeySchema = z
  .object({
    kid: z.string(),
    stage: z.enum(['published', 'signing', 'retired', 'removed']),
    createdAt: z.iso.datetime(),
    signsFrom: z.iso.datetime(),
  })
  .meta({ id: 'SigningKey' });

const RevokedEntrySchema = z
  .object({
    kind: z.enum(['jti', 'gid', 'sub']).describe('One token, every token of a grant, or of a subject'),
    value: z.string(),
    expiresAt: z.iso.datetime(),
  })
  .meta({ id: 'DenylistEntry' });
const DenylistSchema = z
  .object({ size: z.int(), items: z.array(RevokedEntrySchema) })
  .meta({ id: 'Denylist' });

const GrantSchema = z
  .object({
    clientId: z.string(),
    scopes: z.array(z.string()),
    since: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Grant' });

const AccountParamsSchema = z.object({
  // Bob of the demo.
  id: z
    .uuid()
    .toLowerCase()
    .meta({ param: { example: 'b0b00000-0000-4000-8000-000000000002' } }),
});

const forAdmins = { scope: 'users:admin', role: 'admin', user: true } as const;
const mostShown = 100;

interface AdminApiDependencies extends AccountsGuardDependencies {
  db: Db;
  vault: Vault;
  access: AccountAccess;
  consents: ConsentStore;
  audit: AuditLog;
  health: Health;
  keyPublishSeconds: number;
}

/**
 * What administrators see of the running system, and the few things that they do to it, with its OpenAPI document. It is for
 * tokens of the API, as they come through the gateway.
 */
export function adminApi(deps: AdminApiDependencies): RequestHandler {
  const guard = guardAccounts(deps, { audience: apiAudience, adminScope: forAdmins.scope });
  const routes = adminRoutes(deps);
  const about = { title: 'admin', description: 'What administrators see of the running system' };
  const openApi = createOpenApi(routes, { ...about, issuer: deps.issuer });
  return Router()
    .get('/openapi.json', (_req, res) => {
      res.json(openApi);
    })
    .use(createRouter(routes, guard));
}

/** The routes of administrators, as declared. */
export function adminRoutes({
  db,
  vault,
  accounts,
  access,
  consents,
  audit,
  revocations,
  health,
  keyPublishSeconds,
}: Omit<AdminApiDependencies, 'issuer' | 'publicKeys' | 'proofIds' | 'metrics'>): readonly Route[] {
  const auditReader = createAuditReader(db);
  const keys = async () =>
    (await listKeys(db)).map(({ kid, stage, createdAt, signsFrom }) => ({
      kid,
      stage,
      createdAt: createdAt.toISOString(),
      signsFrom: signsFrom.toISOString(),
    }));
  const denylist = async () => {
    const { size, newest } = await revocations.list(mostShown);
    const items = newest.map(({ expiresAt, ...entry }) => ({ ...entry, expiresAt: expiresAt.toISOString() }));
    return { size, items };
  };
  const liveEvents = createLiveEvents({ auditReader, keys, denylist, isOver: () => health.isDraining() });

  const requireAccount = async (id: string) => requireFound(await accounts.find(id), 'No such account');

  return [
    route('get', '/admin/keys', {
      ...forAdmins,
      summary: 'Lists every signing key there ever was, the newest first',
      responses: { 200: createPageSchema(KeySchema).meta({ id: 'SigningKeyPage' }) },
      handler: async () => ok({ items: (await keys()).slice(0, mostShown), next: null }),
    }),
    route('post', '/admin/keys/rotate', {
      ...forAdmins,
      summary: 'Publishes a new signing key, which signs once everybody knows it',
      responses: { 202: z.object({ kid: z.string() }).meta({ id: 'RotatedKey' }) },
      handler: async ({ caller }) => {
        const actor = caller.subject;
        const known = (await keys()).map(({ kid }) => kid);
        const kid = await rotateKeys(db, vault, { publishSeconds: keyPublishSeconds, actor });
        // One that was on its way already is the answer too, and no other rotation.
        if (!known.includes(String(kid))) audit.count({ event: 'key-rotation', outcome: 'success' });
        return { status: 202, body: { kid: String(kid) } };
      },
    }),
    route('get', '/admin/denylist', {
      ...forAdmins,
      summary: 'Reads how much is revoked, and the newest hundred of it',
      responses: { 200: DenylistSchema },
      handler: async () => ok(await denylist()),
    }),
    route('get', '/admin/accounts/{id}/grants', {
      ...forAdmins,
      summary: 'Lists what an account has allowed to whom',
      params: AccountParamsSchema,
      responses: { 200: createPageSchema(GrantSchema).meta({ id: 'GrantPage' }) },
      handler: async ({ params: { id } }) => {
        await requireAccount(id);
        const items = (await consents.list(id)).map((consent) => ({
          clientId: consent.clientId,
          scopes: [...consent.openidScopes, ...consent.apiScopes],
          since: consent.createdAt.toISOString(),
          updatedAt: consent.updatedAt.toISOString(),
        }));
        return ok({ items, next: null });
      },
    }),
    route('delete', '/admin/accounts/{id}/grants/{clientId}', {
      ...forAdmins,
      summary: 'Withdraws what an account has allowed to a client, with every token that came of it',
      params: AccountParamsSchema.extend({
        clientId: z
          .string()
          .max(100)
          .meta({ param: { example: 'explorer' } }),
      }),
      responses: { 204: z.undefined() },
      handler: async ({ params: { id, clientId }, caller: { subject: actorId }, req }) => {
        await requireAccount(id);
        const isAllowed = (await consents.list(id)).some((consent) => consent.clientId === clientId);
        if (!isAllowed) throw new Problem(404, 'The account has allowed this client nothing');
        const event = { event: 'consent-withdrawal', outcome: 'success' } as const;
        const alongside = async (tx: Db) => {
          await consents.forget(tx, id, clientId);
          await audit.record({ ...event, accountId: id, actorId, clientId }, req, tx);
        };
        await access.endGrantsOf(id, clientId, { alongside });
        return noContent;
      },
    }),
    route('get', '/admin/audit', {
      ...forAdmins,
      summary: 'Lists the newest hundred entries of the audit log, of all accounts',
      responses: { 200: createPageSchema(AuditEntrySchema).meta({ id: 'AuditTail' }) },
      handler: async () => ok({ items: await auditReader.listNewest(mostShown), next: null }),
    }),
    route('get', '/admin/events', {
      ...forAdmins,
      summary: 'Streams what is new in the audit log, the keys and the denylist, for fifty seconds',
      headers: z.object({
        'last-event-id': z
          .string()
          .regex(/^\d{1,15}$/)
          .optional()
          .describe('The id of the last event that is known already'),
      }),
      responses: {
        200: serverEvents({ audit: AuditEntrySchema, keys: z.array(KeySchema), denylist: DenylistSchema }),
      },
      handler: async ({ headers }) => ok(await liveEvents.open(headers['last-event-id'])),
    }),
  ];
}
