import type { IncomingMessage } from 'node:http';
import { networkOf } from '@gatehouse/rate-limits';
import {
  counterIn,
  type Db,
  type Logger,
  type Metrics,
  Problem,
  repeat,
  requestIdOf,
} from '@gatehouse/service-kit';
import { sql } from 'drizzle-orm';
import { clientAddressOf } from '../client-address.ts';
import { auditEvents } from '../schema.ts';
import { createFailureBound } from './failure-bound.ts';
import { createGroupCommit } from './group-commit.ts';

/** What is worth a record. */
export type AuditEventName =
  | 'sign-in'
  | 'sign-out'
  | 'registration'
  | 'password-change'
  | 'consent'
  | 'consent-withdrawal'
  | 'device-approval'
  | 'client-authentication'
  | 'token-issue'
  | 'refresh-reuse'
  | 'code-reuse'
  | 'revocation'
  | 'key-rotation'
  | 'key-removal'
  | 'account-disable'
  | 'account-enable'
  | 'roles-change'
  | 'admin-sign-out';

export interface AuditEvent {
  event: AuditEventName;
  outcome: 'success' | 'failure';
  /** Whose account is concerned, if it is known. */
  accountId?: string | undefined;
  /** Who acted, when it was not the account itself. */
  actorId?: string | undefined;
  clientId?: string | undefined;
  /** What else matters: scopes, a grant type, a reason. Never a token, a code, a password, a secret, or what somebody typed. */
  detail?: Readonly<Record<string, unknown>>;
}

export interface AuditLog {
  /**
   * The event is in the database once this resolves, unless it is one of too many failures that strangers cause, which
   * are only counted.
   * @param req where it came from: its address and its id are recorded too
   * @param tx the transaction that it stands or falls with, if it does
   * @throws when the database does not take it; then whatever was to be recorded must not have happened
   */
  record(event: AuditEvent, req?: IncomingMessage, tx?: Db): Promise<void>;
  /** Counts an event that has been written elsewhere, with the change that it tells of. */
  count(event: Pick<AuditEvent, 'event' | 'outcome'>): void;
  /** Resolves when everything is written; nothing is recorded after that. */
  close(): Promise<void>;
}

interface AuditRow extends AuditEvent {
  address?: string | undefined;
  requestId?: string | undefined;
}

// What anybody can make fail as often as they like.
const openToStrangers: ReadonlySet<AuditEventName> = new Set([
  'sign-in',
  'registration',
  'password-change',
  'consent',
  'client-authentication',
]);
const minuteMs = 60_000;

/** The append-only record of who did what: events of requests that are under way together are one INSERT. */
export function createAuditLog({
  db,
  metrics,
  logger,
}: {
  db: Db;
  metrics: Metrics;
  logger: Logger;
}): AuditLog {
  const counter = counterIn(metrics.registry, {
    name: 'auth_events_total',
    help: 'What the audit log records, and failures that it has no room for',
    labelNames: ['event', 'outcome'],
  });
  const bound = createFailureBound();
  const rows = createGroupCommit<AuditRow>((batch) => insertAuditEvents(db, batch), {
    mostWaiting: 1000,
    mostAtOnce: 250,
  });
  let isClosed = false;
  const count: AuditLog['count'] = ({ event, outcome }) => counter.inc({ event, outcome });

  async function recordSuppressed() {
    for (const [event, suppressed] of bound.turn()) {
      await rows.add({ event, outcome: 'failure', detail: { suppressed } });
      bound.settle(event, suppressed);
    }
  }
  const minutes = repeat(minuteMs, 'audit of suppressed failures', recordSuppressed, logger);

  return {
    count,
    async record(event, req, tx) {
      if (isClosed) throw new Problem(503, 'The server is stopping');
      const { event: name, outcome } = event;
      const origin = req && { address: clientAddressOf(req), requestId: requestIdOf(req) };
      const isBounded = outcome === 'failure' && event.actorId === undefined && openToStrangers.has(name);
      if (tx) {
        await insertAuditEvents(tx, [{ ...event, ...origin }]);
      } else if (!isBounded || bound.admit(name, networkOf(origin?.address ?? ''))) {
        await rows.add({ ...event, ...origin });
      }
      count(event);
    },
    async close() {
      await minutes.stop();
      await recordSuppressed().catch((err) => logger.warn({ err }, 'suppressed failures went unrecorded'));
      isClosed = true;
      await rows.settled();
    },
  };
}

/** Writes events at once, inside a transaction for instance. */
export async function insertAuditEvents(db: Pick<Db, 'execute'>, events: readonly AuditRow[]): Promise<void> {
  const rows = events.map(({ event, outcome, accountId, actorId, clientId, address, requestId, detail }) => ({
    event,
    outcome,
    account_id: accountId,
    actor_id: actorId,
    client_id: clientId,
    address,
    request_id: requestId,
    detail: detail ?? {},
  }));
  // One text and one parameter, whatever the number of rows.
  await db.execute(sql`
    insert into ${auditEvents} (at, event, outcome, account_id, actor_id, client_id, address, request_id, detail)
    select clock_timestamp(), event, outcome, account_id, actor_id, client_id, address, request_id, detail
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as row(
      event text, outcome text, account_id uuid, actor_id text, client_id text, address text, request_id text,
      detail jsonb
    )`);
}
