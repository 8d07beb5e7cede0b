import type { Db } from '@gatehouse/service-kit';
import { and, asc, desc, eq, isNull, sql } from 'drizzle-orm';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { insertAuditEvents } from '../audit/audit-log.ts';
import { lifetimes } from '../protocol/scopes.ts';
import type { Vault } from '../protocol/vault.ts';
import { signingKeys } from '../schema.ts';

/** Published before it signs; signing; published until its last token has died; published no more. */
export type KeyStage = 'published' | 'signing' | 'retired' | 'removed';

export interface KeyRow {
  kid: string;
  sealedPrivateJwk: string;
  createdAt: Date;
  signsFrom: Date;
}

/** The keys that are not removed, and how far the database's clock is ahead of ours. */
export interface KnownKeys {
  rows: readonly KeyRow[];
  clockAheadMs: number;
}

type Transaction = Parameters<Parameters<Db['transaction']>[0]>[0];

// What services allow clocks to differ, and as much again for a process that learns late.
const marginSeconds = 2 * 60;
const retiredMs = (Math.max(lifetimes.accessToken, lifetimes.idToken) + marginSeconds) * 1000;
// An expired ID token still tells whom a client signs out (OpenID Connect RP-Initiated Logout, 2).
const rememberedMs = lifetimes.session * 1000;

interface KeyState {
  row: KeyRow;
  stage: KeyStage;
  /** Nothing that it signed has any use. */
  isOver: boolean;
}

/** Where each key stands at `now`: a matter of time alone, so that all processes agree without talking. The signing one is first. */
export function stagesAt(now: number, rows: readonly KeyRow[]): KeyState[] {
  const newestFirst = rows.toSorted((one, other) => other.signsFrom.getTime() - one.signsFrom.getTime());
  const started = newestFirst.findIndex(({ signsFrom }) => signsFrom.getTime() <= now);
  const signing = started === -1 ? newestFirst.length - 1 : started;
  const stateOf = (row: KeyRow, index: number): KeyState => {
    if (index <= signing) return { row, stage: index < signing ? 'published' : 'signing', isOver: false };
    const sinceReplaced = now - (newestFirst[index - 1]?.signsFrom.getTime() ?? now);
    const stage = sinceReplaced >= retiredMs ? 'removed' : 'retired';
    return { row, stage, isOver: sinceReplaced >= rememberedMs };
  };
  return newestFirst
    .map(stateOf)
    .sort((one, other) => Number(other.stage === 'signing') - Number(one.stage === 'signing'));
}

/** Reads the keys; the first process ever to ask makes the first one. */
export function readKeys(db: Db, vault: Vault): Promise<KnownKeys> {
  return db.transaction(async (tx) => {
    const known = await read(tx);
    if (known.rows.length > 0) return known;
    await lockKeys(tx);
    if ((await read(tx)).rows.length === 0) await addKey(tx, vault, 0, schedule);
    return read(tx);
  });
}

/**
 * Publishes a new key, which signs `publishSeconds` later, unless one is on its way already or the newest is younger
 * than `minAgeDays`.
 * @returns its kid, or that of the key already on its way, or undefined
 */
export function rotateKeys(
  db: Db,
  vault: Vault,
  {
    publishSeconds,
    minAgeDays = 0,
    actor = schedule,
  }: { publishSeconds: number; minAgeDays?: number; actor?: string },
): Promise<string | undefined> {
  return db.transaction(async (tx) => {
    await lockKeys(tx);
    const known = await read(tx);
    const now = Date.now() + known.clockAheadMs;
    const pending = stagesAt(now, known.rows).find(({ stage }) => stage === 'published');
    if (pending) return pending.row.kid;
    return isDue(known, minAgeDays) ? addKey(tx, vault, publishSeconds, actor) : undefined;
  });
}

/** Whether the newest key is at least this old. */
export function isDue({ rows, clockAheadMs }: KnownKeys, minAgeDays: number): boolean {
  const newest = Math.max(...rows.map(({ createdAt }) => createdAt.getTime()));
  return newest + minAgeDays * 86_400_000 <= Date.now() + clockAheadMs;
}

/**
 * Withdraws a key now, for when it has leaked: what it signed is worth nothing once services have fetched the key set
 * again. If it was the signing one, the next one signs at once.
 * @throws Error when there is no such key
 */
export function removeKey(db: Db, vault: Vault, kid: string, actor: string): Promise<void> {
  return db.transaction(async (tx) => {
    await lockKeys(tx);
    const { rows, clockAheadMs } = await read(tx);
    const stages = stagesAt(Date.now() + clockAheadMs, rows);
    const stage = stages.find(({ row }) => row.kid === kid)?.stage;
    if (!stage) throw new Error(`no key ${kid}`);
    await retire(tx, kid, actor);
    if (stage !== 'signing') return;
    const next = stages.find((other) => other.stage === 'published')?.row;
    const signsFrom = sql`clock_timestamp()`;
    if (next) await tx.update(signingKeys).set({ signsFrom }).where(eq(signingKeys.kid, next.kid));
    else await addKey(tx, vault, 0, actor);
  });
}

/** Forgets the private part of a key that is over, for good; whether this was the process to do it. */
export function retireOver(db: Db, kid: string): Promise<boolean> {
  return db.transaction((tx) => retire(tx, kid, schedule));
}

async function retire(tx: Transaction, kid: string, actorId: string): Promise<boolean> {
  const retired = await tx
    .update(signingKeys)
    .set({ removedAt: sql`clock_timestamp()`, sealedPrivateJwk: '' })
    .where(and(eq(signingKeys.kid, kid), isNull(signingKeys.removedAt)))
    .returning({ kid: signingKeys.kid });
  if (retired.length === 0) return false;
  await insertAuditEvents(tx, [{ event: 'key-removal', outcome: 'success', actorId, detail: { kid } }]);
  return true;
}

/** Every key there ever was, the newest first. */
export async function listKeys(db: Db) {
  const { rows, clockAheadMs } = await read(db);
  const stages = stagesAt(Date.now() + clockAheadMs, rows);
  const all = await db.select().from(signingKeys).orderBy(desc(signingKeys.createdAt));
  return all.map(({ kid, createdAt, signsFrom }) => {
    const stage = stages.find(({ row }) => row.kid === kid)?.stage ?? 'removed';
    return { kid, stage, createdAt, signsFrom };
  });
}

/** The private keys for signing and publishing, the signing one first. */
export async function loadSigningKeys(db: Db, vault: Vault): Promise<JWK[]> {
  const { rows, clockAheadMs } = await readKeys(db, vault);
  const inUse = stagesAt(Date.now() + clockAheadMs, rows).filter(({ stage }) => stage !== 'removed');
  return inUse.map(({ row }) => openKey(row, vault));
}

/** @throws Error with one plain line when the vault's key is not the one that sealed it */
export function openKey({ kid, sealedPrivateJwk }: KeyRow, vault: Vault): JWK {
  try {
    return JSON.parse(vault.open(sealedPrivateJwk, contextOf(kid)));
  } catch (error) {
    throw new Error('ENCRYPTION_KEY does not open the signing keys in the database', { cause: error });
  }
}

/** What others need to verify with this key, and no more. */
export function publicPart({ kty, crv, x, y, kid, alg, use }: JWK): JWK {
  return { kty, crv, x, y, kid, alg, use } as JWK;
}

// Who acts when nobody asks.
const schedule = 'schedule';
const contextOf = (kid: string) => `signing key ${kid}`;

// Processes that act together must not each make a key.
async function lockKeys(tx: Transaction): Promise<void> {
  await tx.execute(sql`lock table ${signingKeys} in share row exclusive mode`);
}

async function read(db: Db | Transaction): Promise<KnownKeys> {
  const { kid, sealedPrivateJwk, createdAt, signsFrom } = signingKeys;
  const now = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::float8`;
  const rows = await db
    .select({ kid, sealedPrivateJwk, createdAt, signsFrom, now })
    .from(signingKeys)
    .where(isNull(signingKeys.removedAt))
    .orderBy(asc(kid));
  return { rows, clockAheadMs: (rows[0]?.now ?? Date.now()) - Date.now() };
}

async function addKey(
  tx: Transaction,
  vault: Vault,
  publishSeconds: number,
  actorId: string,
): Promise<string> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  // RFC 7638: a key's name follows from the key.
  const kid = await calculateJwkThumbprint(jwk);
  const named = { kid, alg: 'ES256', use: 'sig' };
  const privateJwk = { ...(await exportJWK(privateKey)), ...named };
  await tx.insert(signingKeys).values({
    kid,
    publicJwk: { ...jwk, ...named },
    sealedPrivateJwk: vault.seal(JSON.stringify(privateJwk), contextOf(kid)),
    createdAt: sql`clock_timestamp()`,
    signsFrom: sql`clock_timestamp() + make_interval(secs => ${publishSeconds})`,
  });
  await insertAuditEvents(tx, [{ event: 'key-rotation', outcome: 'success', actorId, detail: { kid } }]);
  return kid;
}
