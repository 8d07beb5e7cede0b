import { randomBytes, randomUUID } from 'node:crypto';
import type { Db } from '@gatehouse/service-kit';
import { and, eq, getTableColumns } from 'drizzle-orm';
import { type Account, epochSeconds, toAccount } from '../accounts/accounts.ts';
import { accounts, federatedIdentities } from '../schema.ts';
import type { FederatedIdentity } from './federation.ts';

/**
 * The account of this identity, made at its first sign-in. Issuer and subject alone tell which one it is: an e-mail
 * address is what the provider says about somebody, and never a key to an account that was there before.
 */
export async function accountOfIdentity(db: Db, identity: FederatedIdentity): Promise<Account> {
  return (await find(db, identity)) ?? (await create(db, identity));
}

async function find(db: Db, { issuer, subject }: FederatedIdentity): Promise<Account | undefined> {
  const readAt = epochSeconds();
  const [row] = await db
    .select(getTableColumns(accounts))
    .from(federatedIdentities)
    .innerJoin(accounts, eq(accounts.id, federatedIdentities.accountId))
    .where(and(eq(federatedIdentities.issuer, issuer), eq(federatedIdentities.subject, subject)));
  return row && toAccount(row, readAt);
}

async function create(db: Db, identity: FederatedIdentity): Promise<Account> {
  const profile = await identity.profile();
  const email = emailOf(profile.email);
  const account = {
    id: randomUUID(),
    username: newUsername(profile.preferred_username, email),
    displayName: printable(profile.name, 100) || 'New account',
    email,
    emailVerified: email !== null && profile.email_verified === true,
    roles: ['customer'],
  };
  const { issuer, subject } = identity;
  const readAt = epochSeconds();
  const made = await db.transaction(async (transaction) => {
    const [row] = await transaction.insert(accounts).values(account).returning();
    const won = await transaction
      .insert(federatedIdentities)
      .values({ issuer, subject, accountId: account.id })
      .onConflictDoNothing()
      .returning({ accountId: federatedIdentities.accountId });
    if (won.length > 0) return row && toAccount(row, readAt);
    // Another browser of the same person was faster: one of the two accounts is one too many.
    await transaction.delete(accounts).where(eq(accounts.id, account.id));
    return undefined;
  });
  const found = made ?? (await find(db, identity));
  if (found === undefined) throw new Error('the identity vanished while it was linked');
  return found;
}

// The tail keeps it unique, and from ever being the name that somebody else is known by.
function newUsername(preferred: unknown, email: string | null): string {
  const wish = (typeof preferred === 'string' && preferred.split('@')[0]) || email?.split('@')[0] || '';
  const base = wish
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9._-]/g, '')
    .replace(/^[._-]+|[._-]+$/g, '')
    .slice(0, 24);
  return `${base || 'user'}-${randomBytes(5).toString('hex')}`;
}

function emailOf(email: unknown): string | null {
  return typeof email === 'string' && /^[^\s@\p{C}]{1,64}@[^\s@\p{C}]{1,255}$/u.test(email) ? email : null;
}

// Control, format and bidirectional characters make a name look like something else.
function printable(text: unknown, longest: number): string {
  if (typeof text !== 'string') return '';
  const plain = text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').trim();
  return Array.from(plain).slice(0, longest).join('');
}
