import { randomBytes, randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { type Db, Problem } from '@gatehouse/service-kit';
import { hash, verify } from '@node-rs/argon2';
import { and, eq, inArray, isNull } from 'drizzle-orm';
import { accounts } from '../schema.ts';
import { composed, hasPossibleLength, normalizePassword } from './passwords.ts';
import type { Registration } from './registration.ts';

/** Someone who may sign in, unless disabled. */
export interface Account {
  id: string;
  username: string;
  displayName: string;
  /** Undefined when nobody told it. */
  email?: string;
  /** Somebody has seen to it that the address is this person's. */
  emailVerified?: true;
  roles: string[];
  disabled: boolean;
  /** Epoch seconds: access tokens that are dated before are revoked. */
  tokensNotBefore: number;
  /** Epoch seconds: sessions in which somebody signed in before have ended. */
  sessionsNotBefore: number;
  createdAt: Date;
  /** Epoch seconds: what has become of the account since then is not known here. */
  readAt: number;
}

export interface NewAccount
  extends Readonly<
    Omit<Account, 'roles' | 'tokensNotBefore' | 'sessionsNotBefore' | 'createdAt' | 'readAt'>
  > {
  readonly roles: readonly string[];
  readonly password: string;
}

export interface AccountStore {
  /**
   * The account that these credentials are right for. Undefined for a wrong password, an unknown user and a disabled
   * account alike, and after the same work.
   * @throws Problem 503 when too many sign-ins wait already
   */
  authenticate(username: string, password: string): Promise<Account | undefined>;
  /** The id of whoever signs in with this name, for the record alone: no answer may depend on it. */
  idOf(username: string): Promise<string | undefined>;
  /** The account with this id, disabled ones too. */
  find(id: string): Promise<Account | undefined>;
  /** Whether somebody signs in to this account with a password, and not elsewhere. */
  hasPassword(id: string): Promise<boolean>;
  /**
   * Makes a customer's account, unless the name is taken: by the same work, with the same writes.
   * @param alongside is told the id of the new account, or undefined; when it throws, no account was made
   * @throws Problem 503 when too many wait already
   */
  register(
    registration: Registration,
    alongside: (tx: Db, accountId: string | undefined) => Promise<unknown>,
  ): Promise<void>;
  /**
   * What gives the account its next password, to be run in the transaction that also ends what the old one gave.
   * Undefined when `current` is not its password.
   * @throws Problem 503 when too many wait already
   */
  changeOfPassword(
    id: string,
    passwords: { current: string; next: string },
  ): Promise<((tx: Db) => Promise<void>) | undefined>;
  /** Afterwards each of these accounts exists; those that were there before are left as they are. */
  seed(newAccounts: readonly NewAccount[]): Promise<void>;
}

// OWASP's floor for argon2id; written out so that a new version of the library cannot change it.
const cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
// One of libuv's four threads stays free for files and names, whatever arrives at the sign-in form.
const hashesAtOnce = Math.min(availableParallelism(), 3);
const longestQueue = 50;

/** Accounts in `db`, with passwords kept as argon2id hashes. */
export function createAccountStore(db: Db): AccountStore {
  const inTurn = createTurnstile(hashesAtOnce, longestQueue);
  // A hash that nothing matches, so that an unknown user costs what a known one costs.
  const nobodysHash = hash(randomBytes(32), cost);

  async function byUsername(username: string) {
    // PostgreSQL has no text with a NUL in it, and nobody has such a name.
    if (/\p{Cc}/u.test(username)) return undefined;
    const [row] = await db.select().from(accounts).where(eq(accounts.username, username));
    return row;
  }

  async function passwordHashOf(id: string) {
    const [row] = await db
      .select({ passwordHash: accounts.passwordHash })
      .from(accounts)
      .where(eq(accounts.id, id));
    return row?.passwordHash ?? undefined;
  }

  async function find(id: string) {
    if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(id)) return undefined;
    const readAt = epochSeconds();
    const [row] = await db.select().from(accounts).where(eq(accounts.id, id));
    return row && toAccount(row, readAt);
  }

  return {
    async authenticate(username, password) {
      if (!hasPossibleLength(password)) return undefined;
      const row = await byUsername(normalizeUsername(username));
      const passwordHash = row?.passwordHash ?? (await nobodysHash);
      const isRight = await inTurn(() => verify(passwordHash, normalizePassword(password)));
      if (!isRight || row === undefined) return undefined;
      // The hash takes its time: the account may have been disabled meanwhile, or have another password.
      const readAt = epochSeconds();
      const [now] = await db.select().from(accounts).where(eq(accounts.id, row.id));
      const isSame = now?.disabledAt === null && now.passwordHash === passwordHash;
      return isSame ? toAccount(now, readAt) : undefined;
    },

    idOf: async (username) => (await byUsername(normalizeUsername(username)))?.id,

    find,

    async hasPassword(id) {
      return (await passwordHashOf(id)) !== undefined;
    },

    async register({ password, email = null, ...account }, alongside) {
      const passwordHash = await inTurn(() => hash(normalizePassword(password), cost));
      await db.transaction(async (tx) => {
        const id = randomUUID();
        const [owner] = await tx
          .insert(accounts)
          .values({ id, ...account, email, roles: ['customer'], passwordHash })
          // Changes nothing, and takes as long as an account does.
          .onConflictDoUpdate({ target: accounts.username, set: { username: account.username } })
          .returning({ id: accounts.id });
        await alongside(tx, owner?.id === id ? id : undefined);
      });
    },

    async changeOfPassword(id, { current, next }) {
      const before = await passwordHashOf(id);
      if (before === undefined || !hasPossibleLength(current)) return undefined;
      if (!(await inTurn(() => verify(before, normalizePassword(current))))) return undefined;
      const passwordHash = await inTurn(() => hash(normalizePassword(next), cost));
      return async (tx) => {
        const isUnchanged = and(
          eq(accounts.id, id),
          eq(accounts.passwordHash, before),
          isNull(accounts.disabledAt),
        );
        const changed = await tx.update(accounts).set({ passwordHash }).where(isUnchanged).returning();
        if (changed.length === 0) throw new Problem(409, 'Your password has been changed in the meantime.');
      };
    },

    async seed(newAccounts) {
      const ids = newAccounts.map(({ id }) => id);
      const present = await db.select({ id: accounts.id }).from(accounts).where(inArray(accounts.id, ids));
      for (const { password, disabled, roles, ...account } of newAccounts) {
        if (present.some(({ id }) => id === account.id)) continue;
        await db
          .insert(accounts)
          .values({
            ...account,
            username: normalizeUsername(account.username),
            roles: [...roles],
            passwordHash: await hash(normalizePassword(password), cost),
            disabledAt: disabled ? new Date() : null,
          })
          // Another process may be seeding as well.
          .onConflictDoNothing();
      }
    },
  };
}

export const epochSeconds = () => Math.floor(Date.now() / 1000);

/**
 * An account as the rest of the server sees it.
 * @param readAt no later than the question that the row answers
 */
export function toAccount(row: typeof accounts.$inferSelect, readAt: number): Account {
  const { id, username, displayName, email, emailVerified, roles, disabledAt, createdAt } = row;
  return {
    id,
    username,
    displayName,
    ...(email !== null && { email }),
    ...(emailVerified && { emailVerified }),
    roles,
    disabled: disabledAt !== null,
    tokensNotBefore: row.tokensNotBefore,
    sessionsNotBefore: row.sessionsNotBefore,
    createdAt,
    readAt,
  };
}

/** The moment of a sign-in, in epoch seconds: after whatever had ended the sessions before, and before whatever does next. */
export function momentOfSignIn({ readAt, sessionsNotBefore }: Account): number {
  return Math.max(readAt, sessionsNotBefore);
}

/** The one spelling of a name (RFC 8265, section 3.3), whatever the keyboard made of it. */
export function normalizeUsername(username: string): string {
  return composed(username.trim().toLowerCase());
}

function createTurnstile(width: number, longestQueue: number) {
  const waiting: (() => void)[] = [];
  let inside = 0;

  return async function pass<T>(work: () => Promise<T>): Promise<T> {
    if (inside >= width) {
      if (waiting.length >= longestQueue) {
        throw new Problem(503, 'Too many people are signing in at once', { headers: { 'Retry-After': '2' } });
      }
      await new Promise<void>((enter) => waiting.push(enter));
    } else {
      inside += 1;
    }
    try {
      return await work();
    } finally {
      // A place is handed on, not given back, while somebody waits for it.
      const enter = waiting.shift();
      if (enter) enter();
      else inside -= 1;
    }
  };
}
