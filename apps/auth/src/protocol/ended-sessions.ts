import { type Client, Provider } from 'oidc-provider';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Revocations } from '../revocation/revocation.ts';
import type { EndedSession } from '../sessions/logout-deliveries.ts';
import { SessionEnded, type Sessions, type SignedInSession } from '../sessions/sessions.ts';
import { lifetimes } from './scopes.ts';
import { orUnavailable } from './unavailable.ts';

/** A client with what oidc-provider's types leave out. */
interface NotifiedClient extends Client {
  backchannelLogout(accountId: string, sid: string): Promise<void>;
}

/**
 * Has the store end sessions, for good and with word to their clients, where oidc-provider stores a session again that
 * another request has ended, and tells clients while the browser waits, once.
 */
export function letTheStoreEndSessions(
  provider: Provider,
  {
    sessions,
    revocations,
    audit,
  }: {
    sessions: Pick<Sessions, 'end' | 'leave'>;
    revocations: Pick<Revocations, 'revokeAll'>;
    audit: AuditLog;
  },
): void {
  const { Session } = provider;
  const payload = (Session as unknown as { IN_PAYLOAD: string[] }).IN_PAYLOAD;
  Object.defineProperty(Session, 'IN_PAYLOAD', { value: [...payload, 'since'] });
  const session = Session.prototype;
  const { save, destroy, loginAccount } = session;
  session.loginAccount = function loginSince(details) {
    loginAccount.call(this, details);
    // When somebody signed in here: their auth_time may be of an earlier sign-in, elsewhere.
    Object.assign(this, { since: Provider.ctx?.oidc.entities.Interaction?.result?.login?.since });
  };
  session.save = async function saveUnlessEnded(ttl) {
    const renamed = this as { oldId?: string | undefined };
    const { oldId } = renamed;
    // The library deletes what has the old name before, and with it what other requests have added; that is right only
    // where a client leaves the session.
    const isLate = oldId !== undefined && Provider.ctx?.oidc?.route !== 'end_session_confirm';
    if (isLate) renamed.oldId = undefined;
    try {
      const saved = await save.call(this, this.accountId ? secondsLeft(this as SignedInSession) : ttl);
      if (isLate) await Session.adapter.destroy(oldId);
      return saved;
    } catch (error) {
      // Or the library would try again when it has made an answer of the error.
      if (error instanceof SessionEnded) Object.assign(this, { destroyed: true });
      throw error;
    }
  };
  session.destroy = async function destroyForGood() {
    const { uid, accountId, authorizations } = this;
    if (accountId) {
      const clientId = Provider.ctx?.oidc.client?.clientId;
      const event = { event: 'sign-out', outcome: 'success', accountId, clientId } as const;
      await orUnavailable(async () => {
        await audit.record(event, Provider.ctx?.req);
        // What the session had given when it was read, the library has revoked.
        await revocations.revokeAll(async (tx) => {
          const gids = await sessions.end(tx, { uid, accountId, authorizations });
          return gids.map((gid) => ({ gid }));
        });
      });
    }
    await destroy.call(this);
  };

  const client = provider.Client.prototype as NotifiedClient;
  const { backchannelLogout: send } = client;
  client.backchannelLogout = async function noteOrSend(accountId, sid) {
    const { ctx } = Provider;
    if (ctx === undefined) return send.call(this, accountId, sid);
    // With the whole session, all its clients are noted.
    if (!ctx.oidc.params?.logout) await sessions.leave({ clientId: this.clientId, accountId, sid });
  };
}

/** However often it is used, a session ends when its time since the sign-in is over. */
function secondsLeft({ since = 0 }: SignedInSession): number {
  const left = since + lifetimes.session - Math.floor(Date.now() / 1000);
  // The library takes an expired one for a few seconds more.
  if (left <= 0) throw new SessionEnded();
  return left;
}

/**
 * Sends a logout token, newly signed. A client that wants none any more gets none.
 * @throws when the client did not take it
 */
export async function sendLogoutToken(
  provider: Provider,
  { clientId, accountId, sid }: EndedSession & { sid: string },
): Promise<void> {
  const client = (await provider.Client.find(clientId)) as NotifiedClient | undefined;
  if (client?.backchannelLogoutUri) await client.backchannelLogout(accountId, sid);
}

const answerWithinMs = 2_000;

/** The `fetch` of oidc-provider. */
export async function fetchOutside(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  if (init.method !== 'POST') return fetch(input, init);
  // A logout. Where it goes, the operator has configured, so it may well be inside the network, which the library's
  // dispatcher refuses.
  const { dispatcher: _, ...options } = init as RequestInit & { dispatcher?: unknown };
  const response = await fetch(input, { ...options, signal: AbortSignal.timeout(answerWithinMs) });
  await response.body?.cancel();
  return response;
}
