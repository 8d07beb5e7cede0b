import type { Db } from '@gatehouse/service-kit';
import { and, eq, sql } from 'drizzle-orm';
import { errors } from 'oidc-provider';
import { deleteGrants, deleteOwned } from '../protocol/owned-records.ts';
import { lifetimes } from '../protocol/scopes.ts';
import type { Vault } from '../protocol/vault.ts';
import { accounts, records } from '../schema.ts';
import type { EndedSession, LogoutDeliveries } from './logout-deliveries.ts';

/** What a client has been given in a session. */
interface Authorization {
  sid?: string | undefined;
  grantId?: string | undefined;
  /** What it was given before, if that was by another grant: pages that are open at once each make one. */
  earlier?: readonly Omit<Authorization, 'earlier'>[] | undefined;
}

/** What oidc-provider knows of a session in which somebody is signed in. */
export interface SignedInSession {
  uid: string;
  accountId: string;
  /** When somebody signed in, in epoch seconds. */
  since?: number | undefined;
  authorizations?: Readonly<Record<string, Authorization>> | undefined;
}

type NewRow = typeof records.$inferInsert;

/** The sessions in which somebody is signed in. What has ended stays so, though requests that began before go on. */
export interface Sessions {
  /**
   * @param clientId whose request has changed the session; what others have changed since it was read is kept
   * @throws SessionEnded
   */
  store(row: NewRow, session: SignedInSession, clientId: string | undefined): Promise<void>;
  /**
   * Stores a grant of an account that has been read.
   * @param notBefore its `sessionsNotBefore` at that time
   * @throws InvalidGrant when everything that the account gave has ended meanwhile
   */
  storeGrant(row: NewRow, accountId: string, notBefore: number): Promise<void>;
  /**
   * Ends the session, whatever it is called by now; its clients hear of it, and so do those that came since it was read.
   * @returns the grants that `session` does not name, which are gone and are to be revoked
   */
  end(tx: Db, session: SignedInSession): Promise<string[]>;
  /** A client is signed out while the session goes on. */
  leave(ended: EndedSession): Promise<void>;
  /** Ends the sessions of an account, whose row `tx` has locked. */
  endAll(tx: Db, accountId: string, notBefore: number): Promise<void>;
}

/** The session was ended while the request was under way: its client may ask to sign in again. */
export class SessionEnded extends errors.LoginRequired {
  constructor() {
    super('the session has ended');
  }
}

const endedModel = 'EndedSession';

/**
 * Whoever stores a session or ends one holds its account's row alone: of two such requests, the later sees what the earlier
 * one did. Were it shared among those who store, enough of them would keep everybody who ends sessions waiting for ever.
 */
export function createSessions({
  db,
  vault,
  deliveries,
}: {
  db: Db;
  vault: Vault;
  deliveries: Pick<LogoutDeliveries, 'add'>;
}): Sessions {
  const hashUid = (uid: string) => vault.hash(uid, 'Session uid');
  const open = ({ idHash, payload }: Pick<NewRow, 'idHash' | 'payload'>): SignedInSession =>
    JSON.parse(vault.open(payload, `Session ${idHash}`));

  // It has another name for a while when one request renames it and others go on.
  const isSession = (uidHash: string) => and(eq(records.model, 'Session'), eq(records.uidHash, uidHash));
  const authorizationsIn = (rows: readonly NewRow[]): Record<string, Authorization> =>
    Object.assign({}, ...rows.map((row) => open(row).authorizations));

  /** Stores the row that the account, which does not change meanwhile, allows, if any. */
  function storeAllowed(
    accountId: string,
    allowed: (tx: Db, account: typeof accounts.$inferSelect) => Promise<NewRow | undefined>,
  ): Promise<boolean> {
    return db.transaction(async (tx) => {
      const [account] = await tx
        .select()
        .from(accounts)
        .where(eq(accounts.id, accountId))
        .for('no key update');
      const row = account && (await allowed(tx, account));
      if (!row) return false;
      await tx
        .insert(records)
        .values(row)
        .onConflictDoUpdate({ target: [records.model, records.idHash], set: row });
      return true;
    });
  }

  /** The session with the authorizations that it has in the database by now, but for the one of this client. */
  async function merged(tx: Db, row: NewRow, session: SignedInSession, clientId = ''): Promise<NewRow> {
    const stored = await tx
      .select()
      .from(records)
      .where(isSession(hashUid(session.uid)));
    if (stored.length === 0) return row;
    const known = authorizationsIn(stored);
    const own = session.authorizations?.[clientId];
    const authorizations = {
      ...session.authorizations,
      ...known,
      ...(own && { [clientId]: following(known[clientId], own) }),
    };
    const payload = JSON.stringify({ ...session, authorizations });
    return { ...row, payload: vault.seal(payload, `Session ${row.idHash}`) };
  }

  return {
    async store(row, session, clientId) {
      const { uid, accountId, since = 0 } = session;
      const uidHash = hashUid(uid);
      const isStored = await storeAllowed(accountId, async (tx, { sessionsNotBefore }) => {
        if (since < sessionsNotBefore) return undefined;
        const isEnded = and(eq(records.model, endedModel), eq(records.idHash, uidHash));
        const ended = await tx.select({ one: sql`1` }).from(records).where(isEnded);
        return ended.length > 0 ? undefined : merged(tx, row, session, clientId);
      });
      if (!isStored) throw new SessionEnded();
    },

    async storeGrant(row, accountId, notBefore) {
      const isStored = await storeAllowed(accountId, async (_tx, account) =>
        account.sessionsNotBefore <= notBefore ? row : undefined,
      );
      if (!isStored) throw new errors.InvalidGrant('the account was signed out everywhere');
    },

    async end(tx, session) {
      const { uid, accountId, authorizations: known = {} } = session;
      await tx.select().from(accounts).where(eq(accounts.id, accountId)).for('update');
      const uidHash = hashUid(uid);
      const payload = vault.seal('', `${endedModel} ${uidHash}`);
      const expiresAt = new Date(Date.now() + lifetimes.session * 1000);
      const ended = { model: endedModel, idHash: uidHash, payload, expiresAt };
      await tx.insert(records).values(ended).onConflictDoNothing();
      const gone = await tx.delete(records).where(isSession(uidHash)).returning();
      const authorizations = authorizationsIn(gone);
      await deliveries.add(tx, clientsOf({ ...session, authorizations }));
      const read = new Set(Object.values(known).map(({ grantId }) => grantId));
      const late = Object.values(authorizations)
        .flatMap(({ earlier = [], ...latest }) => [latest, ...earlier])
        .flatMap(({ grantId }) => (grantId === undefined || read.has(grantId) ? [] : grantId));
      await deleteGrants(tx, vault, late);
      return late;
    },

    leave: (ended) => deliveries.add(db, [ended]),

    async endAll(tx, accountId, notBefore) {
      await tx.update(accounts).set({ sessionsNotBefore: notBefore }).where(eq(accounts.id, accountId));
      for await (const sessions of deleteOwned(tx, vault, 'Session', accountId)) {
        const ended = sessions.flatMap((session) => clientsOf(session as SignedInSession));
        await deliveries.add(tx, ended);
      }
    },
  };
}

function clientsOf({ accountId, authorizations = {} }: SignedInSession) {
  return Object.entries(authorizations).flatMap(([clientId, { sid: latest, earlier = [] }]) => {
    const sids = new Set([latest, ...earlier.map(({ sid }) => sid)]);
    return [...sids].map((sid) => ({ clientId, accountId, sid }));
  });
}

const mostEarlier = 20;

/** What a client is given now, with what it was given before, which would be known to nobody and end by itself alone. */
function following(before: Authorization | undefined, given: Authorization): Authorization {
  if (before?.grantId === undefined) return given;
  // A request that only asks gives nothing, and takes nothing away.
  if (given.grantId === undefined) return before;
  const { earlier = [], sid, grantId } = before;
  const isOther = grantId !== given.grantId;
  return { ...given, earlier: isOther ? [...earlier.slice(1 - mostEarlier), { sid, grantId }] : earlier };
}
