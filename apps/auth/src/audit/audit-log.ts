import type { IncomingMessage } from 'node:http';
import { type Db, requestIdOf } from '@gatehouse/service-kit';
import { clientAddressOf } from '../interaction/client-address.ts';
import { auditEvents } from '../schema.ts';

/** What is worth a record. */
export type AuditEventName =
  | 'sign-in'
  | 'sign-out'
  | 'registration'
  | 'password-change'
  | 'consent'
  | 'consent-withdrawal'
  | 'token-issue'
  | 'refresh-reuse'
  | 'revocation'
  | 'key-rotation'
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
  /** What else matters: scopes, a grant type, a reason. Never a token, a code, a password or a secret. */
  detail?: Readonly<Record<string, unknown>>;
}

export interface AuditLog {
  /**
   * The event is in the database once this resolves.
   * @param req where it came from: its address and its id are recorded too
   * @throws when the database does not take it; then whatever was to be recorded must not have happened
   */
  record(event: AuditEvent, req?: IncomingMessage): Promise<void>;
}

/** The append-only record of who did what. */
export function createAuditLog(db: Db): AuditLog {
  return {
    async record(event, req) {
      const origin = req && { address: clientAddressOf(req), requestId: requestIdOf(req) };
      await db.insert(auditEvents).values({ ...event, ...origin });
    },
  };
}
