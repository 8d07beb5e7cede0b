import type { Db } from '@gatehouse/service-kit';
import { and, eq, isNull, lt, sql } from 'drizzle-orm';
import { type Adapter, type AdapterFactory, type AdapterPayload, errors, Provider } from 'oidc-provider';
import type { AuditLog } from '../audit/audit-log.ts';
import { createExchangedTokens } from '../grants/exchanged-tokens.ts';
import type { PresentedTokens } from '../revocation/presented-tokens.ts';
import type { Revocations } from '../revocation/revocation.ts';
import { records } from '../schema.ts';
import type { Sessions, SignedInSession } from '../sessions/sessions.ts';
import { deleteGrants, ownerHashes } from './owned-records.ts';
import { answerWith, newRefreshToken } from './refresh-grace.ts';
import { Replayed } from './replay.ts';
import { lifetimes } from './scopes.ts';
import { orUnavailable } from './unavailable.ts';
import type { Vault } from './vault.ts';

interface AdapterDependencies {
  db: Db;
  vault: Vault;
  revocations: Revocations;
  sessions: Pick<Sessions, 'store' | 'storeGrant'>;
  presented: PresentedTokens;
  /** For how long a refresh token that was used may be repeated, as two tabs do or a client that lost the answer. */
  refreshGraceMs: number;
  audit: AuditLog;
}

type Row = typeof records.$inferSelect;

/**
 * Where oidc-provider keeps codes, refresh tokens, grants, sessions and interactions: every identifier as a keyed hash,
 * every payload sealed. Access tokens are JWTs and not kept: revoking one, or its grant, denies it.
 */
export function createAdapterFactory(deps: AdapterDependencies): AdapterFactory {
  return (model) => unavailableWhenFailing(createAdapter(model, deps));
}

// From the request to the answer a person may have three pages in turn: which account, its password, and the consent.
const longestSignInSeconds = 3 * lifetimes.interaction;

const successorContext = (idHash: string) => `successor ${idHash}`;

function createAdapter(
  model: string,
  { db, vault, revocations, sessions, presented, refreshGraceMs, audit }: AdapterDependencies,
): Adapter {
  const exchanged = createExchangedTokens(db, vault);
  const isAccessToken = model === 'AccessToken' || model === 'ClientCredentials';
  const isRefreshToken = model === 'RefreshToken';
  const isPushedRequest = model === 'PushedAuthorizationRequest';
  const isSingular = model === 'ReplayDetection';
  const hashId = (id: string) => vault.hash(id, model);
  const hashGrant = (grantId: string) => vault.hash(grantId, 'grant');
  const hashUid = (uid: string) => vault.hash(uid, `${model} uid`);
  const isGrant = (grantId: string) =>
    and(eq(records.model, 'Grant'), eq(records.idHash, vault.hash(grantId, 'Grant')));
  const withId = (id: string) => and(eq(records.model, model), eq(records.idHash, hashId(id)));

  function open({ idHash, payload, consumedAt }: Row): AdapterPayload {
    const opened: AdapterPayload = JSON.parse(vault.open(payload, `${model} ${idHash}`));
    return consumedAt ? { ...opened, consumed: Math.floor(consumedAt.getTime() / 1000) } : opened;
  }

  async function findRow(id: string): Promise<Row | undefined> {
    const [row] = await db.select().from(records).where(withId(id));
    return row;
  }

  async function find(id: string): Promise<AdapterPayload | undefined> {
    const row = await findRow(id);
    return row && open(row);
  }

  /** What has replaced this refresh token, if that was moments ago and nobody has used it since. */
  async function unusedSuccessor({ idHash, consumedAt, successor }: Row): Promise<string | undefined> {
    if (!successor || !consumedAt || Date.now() - consumedAt.getTime() >= refreshGraceMs) return undefined;
    const id = vault.open(successor, successorContext(idHash));
    // It is missing when a process died before storing it, or has not come to that yet.
    return (await findRow(id))?.consumedAt ? undefined : id;
  }

  async function endReused({ grantId, accountId, clientId }: AdapterPayload): Promise<void> {
    if (grantId === undefined) return;
    const event = isRefreshToken ? 'refresh-reuse' : 'code-reuse';
    const detail = { kind: model, gid: grantId };
    // First, so that a request that fails here is recorded when it is repeated.
    await audit.record({ event, outcome: 'failure', accountId, clientId, detail }, Provider.ctx?.request.req);
    await endGrant(grantId);
  }

  async function endGrant(grantId: string): Promise<void> {
    await revocations.revoke({ gid: grantId }, (tx) => deleteGrants(tx, vault, [grantId]));
  }

  /** Ends an access token, but first what it was exchanged for, so that a request that fails can be repeated. */
  async function endToken(jti: string): Promise<void> {
    const endFurther = async (known: readonly string[]) => {
      const found = await exchanged.from(jti);
      for (const further of found) if (!known.includes(further)) await endToken(further);
      return found;
    };
    const ended = await endFurther([]);
    await revocations.revoke({ jti });
    // What it was exchanged for in the meantime; from here on, it is for nothing.
    await endFurther(ended);
  }

  /** This row, for as long as its grant lives; no row afterwards. */
  function whileGranted(row: typeof records.$inferInsert, grantId: string) {
    const text = (value: string | null | undefined) => sql`${value ?? null}::text`;
    return db
      .select({
        model: text(row.model).as('model'),
        idHash: text(row.idHash).as('id_hash'),
        grantHash: text(row.grantHash).as('grant_hash'),
        uidHash: text(row.uidHash).as('uid_hash'),
        accountHash: text(row.accountHash).as('account_hash'),
        clientHash: text(row.clientHash).as('client_hash'),
        payload: text(row.payload).as('payload'),
        consumedAt: sql`null::timestamptz`.as('consumed_at'),
        successor: text(null).as('successor'),
        expiresAt: sql`${row.expiresAt?.toISOString() ?? null}::timestamptz`.as('expires_at'),
      })
      .from(records)
      .where(isGrant(grantId))
      .for('key share');
  }

  return {
    async upsert(id, payload, expiresIn) {
      const idHash = hashId(id);
      // That a pushed request has been used is known for as long as somebody is answering it.
      const keptFor = expiresIn && isPushedRequest ? expiresIn + longestSignInSeconds : expiresIn;
      const state = {
        payload: vault.seal(JSON.stringify(payload), `${model} ${idHash}`),
        // A sign-in under way outlives the grant that it began with.
        grantHash: payload.grantId && model !== 'Interaction' ? hashGrant(payload.grantId) : null,
        uidHash: payload.uid ? hashUid(payload.uid) : null,
        ...ownerHashes(vault, model, payload),
        expiresAt: keptFor ? new Date(Date.now() + keptFor * 1000) : null,
      };
      const row = { model, idHash, ...state };
      const { accountId } = payload;
      const { client, account } = Provider.ctx?.oidc ?? {};
      if (model === 'Session' && accountId)
        return sessions.store(row, payload as SignedInSession, client?.clientId);
      const seen = account?.sessionsNotBefore;
      if (model === 'Grant' && accountId && typeof seen === 'number')
        return sessions.storeGrant(row, accountId, seen);
      const insert = db.insert(records);
      const { grantId, rotations } = payload;
      // A successor that is repeated too late would put life into a family that has ended. Without repetitions there is
      // but one, and whoever was first gets it, though its grant may be dead by then.
      const stored = await (grantId && rotations && refreshGraceMs > 0
        ? insert.select(whileGranted(row, grantId))
        : insert.values(row)
      )
        .onConflictDoUpdate({
          target: [records.model, records.idHash],
          set: state,
          ...(isSingular && { setWhere: lt(records.expiresAt, new Date()) }),
        })
        .returning({ model: records.model });
      if (stored.length === 0)
        throw isSingular ? new Replayed() : new errors.InvalidGrant('the grant has ended');
    },

    async find(id) {
      // Clients come from the configuration alone, so whether one exists costs the same to find out.
      if (model === 'Client') return undefined;
      return isAccessToken ? presented.find(model, id) : find(id);
    },

    async findByUid(uid) {
      const [row] = await db
        .select()
        .from(records)
        .where(and(eq(records.model, model), eq(records.uidHash, hashUid(uid))))
        // Of a session, a request that began before the sign-in may have stored again what it was by then.
        .orderBy(sql`${records.accountHash} nulls last`);
      return row && open(row);
    },

    async findByUserCode() {
      // Kept elsewhere: device-codes.ts.
      return undefined;
    },

    async consume(id) {
      const successor = isRefreshToken ? newRefreshToken() : undefined;
      const won = await db
        .update(records)
        .set({
          consumedAt: new Date(),
          successor: successor === undefined ? null : vault.seal(successor, successorContext(hashId(id))),
        })
        .where(and(withId(id), isNull(records.consumedAt)))
        .returning({ model: records.model });
      if (won.length > 0) {
        if (successor !== undefined) answerWith(successor);
        return;
      }
      const row = await findRow(id);
      const repeated = row && (await unusedSuccessor(row));
      if (repeated !== undefined) return answerWith(repeated);
      // Which of the two is the thief cannot be told, so what the grant gave ends (RFC 9700, 4.14.2).
      if (row) await endReused(open(row));
      throw isPushedRequest
        ? new errors.InvalidRequestUri('the request was already used')
        : new errors.InvalidGrant('already used');
    },

    async destroy(id) {
      if (isAccessToken) await endToken(id);
      else await db.delete(records).where(withId(id));
    },

    async revokeByGrantId(grantId) {
      if (isAccessToken) {
        await revocations.revoke({ gid: grantId });
      } else {
        const ofGrant = eq(records.grantHash, hashGrant(grantId));
        await db.delete(records).where(and(eq(records.model, model), ofGrant));
      }
    },
  };
}

function unavailableWhenFailing(adapter: Adapter): Adapter {
  return {
    upsert: (...args) => orUnavailable(() => adapter.upsert(...args)),
    find: (id) => orUnavailable(() => adapter.find(id)),
    findByUid: (uid) => orUnavailable(() => adapter.findByUid(uid)),
    findByUserCode: (userCode) => orUnavailable(() => adapter.findByUserCode(userCode)),
    consume: (id) => orUnavailable(() => adapter.consume(id)),
    destroy: (id) => orUnavailable(() => adapter.destroy(id)),
    revokeByGrantId: (grantId) => orUnavailable(() => adapter.revokeByGrantId(grantId)),
  };
}
