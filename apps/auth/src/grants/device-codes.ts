import { type Db, secondsFromNow } from '@gatehouse/service-kit';
import { and, eq, inArray, isNull, lt, lte, or, sql } from 'drizzle-orm';
import { lifetimes } from '../protocol/scopes.ts';
import type { Vault } from '../protocol/vault.ts';
import { codeGuesses, deviceCodes as codes } from '../schema.ts';

/** What the store of records does not keep of device codes: how users find them, and how often who asks for them. */
export interface DeviceCodes {
  remember(deviceCode: string, userCode: string): Promise<void>;
  /** The device code of this user code; a wrong one counts against the codes that begin like it. */
  find(userCode: string): Promise<string | undefined>;
  /** Whether this answer of a user is the first. */
  claim(deviceCode: string): Promise<boolean>;
  /** Takes note of a device that asks while its user has not answered (RFC 8628, section 3.5). */
  poll(deviceCode: string): Promise<'in time' | 'too soon' | 'void'>;
  /** Counts one more guess of each; how many seconds to wait when one of them has none left. */
  takeGuess(guessers: readonly string[]): Promise<number | undefined>;
  /** Takes the guess back that turned out right. */
  returnGuess(guessers: readonly string[]): Promise<void>;
}

/** How long a device waits between two questions at first, and how much longer after each that came too soon. */
export const pollIntervalSeconds = 5;

/** The wrong codes that one guesser may try, and that one code survives. */
const mostGuesses = 10;

/** The codes in PostgreSQL, so that every process counts the same. */
export function createDeviceCodes(db: Db, vault: Vault): DeviceCodes {
  const hashId = (deviceCode: string) => vault.hash(deviceCode, 'device code');
  const hashUserCode = (userCode: string) => vault.hash(userCode, 'user code');
  const hashFirstHalf = (userCode: string) => vault.hash(userCode.slice(0, 4), 'first half of a user code');
  const withId = (deviceCode: string) => eq(codes.idHash, hashId(deviceCode));
  const isAlive = lt(codes.guesses, mostGuesses);
  // Locks are taken in one order, so that no two requests wait for each other.
  const hashGuessers = (guessers: readonly string[]) =>
    guessers.map((guesser) => vault.hash(guesser, 'guesser')).sort();

  return {
    async remember(deviceCode, userCode) {
      const idHash = hashId(deviceCode);
      await db
        .insert(codes)
        .values({
          idHash,
          sealedId: vault.seal(deviceCode, `device code ${idHash}`),
          userCodeHash: hashUserCode(userCode),
          firstHalfHash: hashFirstHalf(userCode),
          intervalSeconds: pollIntervalSeconds,
          expiresAt: secondsFromNow(lifetimes.deviceCode),
        })
        .onConflictDoNothing({ target: codes.idHash });
    },

    async find(userCode) {
      const [found] = await db
        .select()
        .from(codes)
        .where(eq(codes.userCodeHash, hashUserCode(userCode)));
      if (found) {
        const { guesses, sealedId, idHash } = found;
        return guesses < mostGuesses ? vault.open(sealedId, `device code ${idHash}`) : undefined;
      }
      await db
        .update(codes)
        .set({ guesses: sql`${codes.guesses} + 1` })
        .where(eq(codes.firstHalfHash, hashFirstHalf(userCode)));
      return undefined;
    },

    async claim(deviceCode) {
      const won = await db
        .update(codes)
        .set({ claimedAt: sql`now()` })
        .where(and(withId(deviceCode), isNull(codes.claimedAt)))
        .returning({ idHash: codes.idHash });
      return won.length > 0;
    },

    async poll(deviceCode) {
      const pause = sql`${codes.intervalSeconds} * interval '1 second'`;
      const isInTime = or(isNull(codes.polledAt), lte(codes.polledAt, sql`now() - ${pause}`));
      const accepted = await db
        .update(codes)
        .set({ polledAt: sql`now()` })
        .where(and(withId(deviceCode), isAlive, isInTime))
        .returning({ idHash: codes.idHash });
      if (accepted.length > 0) return 'in time';
      const refused = await db
        .update(codes)
        .set({ intervalSeconds: sql`${codes.intervalSeconds} + ${pollIntervalSeconds}` })
        .where(and(withId(deviceCode), isAlive))
        .returning({ idHash: codes.idHash });
      return refused.length > 0 ? 'too soon' : 'void';
    },

    async takeGuess(guessers) {
      const isOver = sql`${codeGuesses.expiresAt} <= now()`;
      const rows = await db
        .insert(codeGuesses)
        .values(
          hashGuessers(guessers).map((guesserHash) => ({
            guesserHash,
            guesses: 1,
            expiresAt: secondsFromNow(lifetimes.deviceCode),
          })),
        )
        .onConflictDoUpdate({
          target: codeGuesses.guesserHash,
          set: {
            guesses: sql`case when ${isOver} then 1 else ${codeGuesses.guesses} + 1 end`,
            expiresAt: sql`case when ${isOver} then excluded.expires_at else ${codeGuesses.expiresAt} end`,
          },
        })
        .returning({
          guesses: codeGuesses.guesses,
          secondsLeft: sql<number>`ceil(extract(epoch from ${codeGuesses.expiresAt} - now()))::int`,
        });
      const exhausted = rows.filter(({ guesses }) => guesses > mostGuesses);
      return exhausted.length > 0
        ? Math.max(1, ...exhausted.map(({ secondsLeft }) => secondsLeft))
        : undefined;
    },

    async returnGuess(guessers) {
      await db
        .update(codeGuesses)
        .set({ guesses: sql`greatest(${codeGuesses.guesses} - 1, 0)` })
        .where(inArray(codeGuesses.guesserHash, hashGuessers(guessers)));
    },
  };
}
