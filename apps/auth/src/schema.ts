import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  index,
  integer,
  jsonb,
  pgSchema,
  primaryKey,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core';

export const schema = pgSchema('auth');

const moment = (name: string) => timestamp(name, { withTimezone: true });

/** Who may sign in; passwords are kept as argon2id hashes, and who signs in elsewhere has none. */
export const accounts = schema.table(
  'accounts',
  {
    id: uuid('id').primaryKey(),
    username: text('username').notNull().unique(),
    email: text('email'),
    emailVerified: boolean('email_verified').notNull().default(false),
    displayName: text('display_name').notNull(),
    passwordHash: text('password_hash'),
    roles: text('roles').array().notNull().default(sql`'{}'::text[]`),
    disabledAt: moment('disabled_at'),
    // Epoch seconds: what was issued before is revoked.
    tokensNotBefore: bigint('tokens_not_before', { mode: 'number' }).notNull().default(0),
    // Epoch seconds: whoever signed in before is signed out.
    sessionsNotBefore: bigint('sessions_not_before', { mode: 'number' }).notNull().default(0),
    // Cursors of lists carry milliseconds, so the column must not keep more.
    createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull().defaultNow(),
  },
  (table) => [index('accounts_newest').on(table.createdAt, table.id)],
);

/** Who an account is at another provider. */
export const federatedIdentities = schema.table(
  'federated_identities',
  {
    issuer: text('issuer').notNull(),
    subject: text('subject').notNull(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    createdAt: moment('created_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.issuer, table.subject] }),
    index('federated_identities_account').on(table.accountId),
  ],
);

/** What oidc-provider remembers: every identifier is a keyed hash, every payload is sealed. */
export const records = schema.table(
  'records',
  {
    model: text('model').notNull(),
    idHash: text('id_hash').notNull(),
    grantHash: text('grant_hash'),
    uidHash: text('uid_hash'),
    // Of a session and of a grant: whose it is. Of a grant also: for which client.
    accountHash: text('account_hash'),
    clientHash: text('client_hash'),
    payload: text('payload').notNull(),
    consumedAt: moment('consumed_at'),
    // Of a used refresh token: the one that replaced it, sealed.
    successor: text('successor'),
    expiresAt: moment('expires_at'),
  },
  (table) => [
    primaryKey({ columns: [table.model, table.idHash] }),
    index('records_grant').on(table.grantHash),
    index('records_uid').on(table.uidHash),
    index('records_account').on(table.accountHash),
    index('records_expiry').on(table.expiresAt),
  ],
);

/**
 * The keys that sign tokens; the private part is sealed, and empty once the key is removed. The public part is for people: it
 * stays, and tells what a removed key has signed from what it has not.
 */
export const signingKeys = schema.table('signing_keys', {
  kid: text('kid').primaryKey(),
  publicJwk: jsonb('public_jwk').notNull(),
  sealedPrivateJwk: text('sealed_private_jwk').notNull(),
  createdAt: moment('created_at').notNull().defaultNow(),
  signsFrom: moment('signs_from').notNull().defaultNow(),
  removedAt: moment('removed_at'),
});

/** The outbox of the denylist, and the authority on what is revoked. */
export const revocations = schema.table(
  'revocations',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    kind: text('kind', { enum: ['jti', 'gid', 'sub'] }).notNull(),
    value: text('value').notNull(),
    notBefore: bigint('not_before', { mode: 'number' }),
    expiresAt: moment('expires_at').notNull(),
    deliveredAt: moment('delivered_at'),
  },
  (table) => [
    index('revocations_value').on(table.value),
    index('revocations_undelivered').on(table.id).where(sql`${table.deliveredAt} is null`),
    index('revocations_expiry').on(table.expiresAt),
  ],
);

/** How users and devices come back to a device code, whose record itself is among the others. */
export const deviceCodes = schema.table(
  'device_codes',
  {
    idHash: text('id_hash').primaryKey(),
    sealedId: text('sealed_id').notNull(),
    userCodeHash: text('user_code_hash').notNull().unique(),
    firstHalfHash: text('first_half_hash').notNull(),
    guesses: integer('guesses').notNull().default(0),
    claimedAt: moment('claimed_at'),
    polledAt: moment('polled_at'),
    intervalSeconds: integer('interval_seconds').notNull(),
    expiresAt: moment('expires_at').notNull(),
  },
  (table) => [
    index('device_codes_first_half').on(table.firstHalfHash),
    index('device_codes_expiry').on(table.expiresAt),
  ],
);

/** Who has tried how many user codes of late. */
export const codeGuesses = schema.table(
  'code_guesses',
  {
    guesserHash: text('guesser_hash').primaryKey(),
    guesses: integer('guesses').notNull(),
    expiresAt: moment('expires_at').notNull(),
  },
  (table) => [index('code_guesses_expiry').on(table.expiresAt)],
);

/** What an account has allowed a client, for as long as it does not withdraw it. */
export const consents = schema.table(
  'consents',
  {
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    clientId: text('client_id').notNull(),
    openidScopes: text('openid_scopes').array().notNull(),
    apiScopes: text('api_scopes').array().notNull(),
    createdAt: moment('created_at').notNull().defaultNow(),
    updatedAt: moment('updated_at').notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.accountId, table.clientId] })],
);

/** The outbox of back-channel logout: sessions that have ended, and who has yet to be told. */
export const logoutDeliveries = schema.table(
  'logout_deliveries',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    clientId: text('client_id').notNull(),
    accountId: uuid('account_id').notNull(),
    // Sealed: it names a session.
    sealedSid: text('sealed_sid').notNull(),
    attempts: integer('attempts').notNull().default(0),
    nextAttemptAt: moment('next_attempt_at').notNull().defaultNow(),
    createdAt: moment('created_at').notNull().defaultNow(),
  },
  (table) => [index('logout_deliveries_due').on(table.nextAttemptAt)],
);

/** Who did what, and how it ended: rows are added and, when they are old, deleted. */
export const auditEvents = schema.table(
  'audit_events',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    at: moment('at').notNull().defaultNow(),
    event: text('event').notNull(),
    outcome: text('outcome', { enum: ['success', 'failure'] }).notNull(),
    // Whose account is concerned, if it is known.
    accountId: uuid('account_id'),
    // Who acted, if it was not the account itself: an administrator.
    actorId: text('actor_id'),
    clientId: text('client_id'),
    address: text('address'),
    requestId: text('request_id'),
    detail: jsonb('detail').notNull().default({}),
  },
  (table) => [
    index('audit_events_account').on(table.accountId, table.id),
    index('audit_events_at').on(table.at),
  ],
);
