import type { Revocation, TokenReference } from './denylist.ts';
import { createExpiringIds } from './expiring-ids.ts';

/** Entries outlive their tokens by this, so that a verifier with a slow clock still finds them. */
const leewaySeconds = 60;

const setByMs = 10_000;
// As long as the log in Redis keeps an entry.
const doubtMs = 3_600_000;

/** The local copy: what is revoked, looked up by the three claims that can be revoked. */
export interface RevocationIndex {
  add(revocation: Revocation): void;
  covers(token: TokenReference): boolean;
  /** Forgets the entries that are past `exp` and leeway at `now` (epoch seconds), and no other. */
  sweep(now: number): void;
  size(): number;
}

/** An empty index. Adding an entry twice, or an older one after a newer, never makes it revoke less. */
export function createRevocationIndex(): RevocationIndex {
  const tokens = createExpiringIds();
  const grants = createExpiringIds();
  const subjects = new Map<string, { notBefore: number; exp: number }>();

  return {
    add(revocation) {
      const { exp } = revocation;
      if ('jti' in revocation) {
        tokens.prolong(revocation.jti, exp);
      } else if ('gid' in revocation) {
        grants.prolong(revocation.gid, exp);
      } else {
        const { sub, notBefore } = revocation;
        const known = subjects.get(sub) ?? { notBefore, exp };
        subjects.set(sub, {
          notBefore: Math.max(notBefore, known.notBefore),
          exp: Math.max(exp, known.exp),
        });
      }
    },
    covers({ jti, gid, sub, iat }) {
      if (tokens.has(jti)) return true;
      if (gid !== undefined && grants.has(gid)) return true;
      const subject = subjects.get(sub);
      return subject !== undefined && iat < subject.notBefore;
    },
    sweep(now) {
      const oldest = now - leewaySeconds;
      tokens.forgetBefore(oldest);
      grants.forgetBefore(oldest);
      for (const [sub, { exp }] of subjects) if (exp < oldest) subjects.delete(sub);
    },
    size: () => tokens.size() + grants.size() + subjects.size,
  };
}

/** Sweeps `index` every 30 seconds until the function returned is called; never keeps a process alive. */
export function sweepRegularly(index: RevocationIndex): () => void {
  const sweepAsTimePasses = createSweeper(index);
  const timer = setInterval(() => sweepAsTimePasses(Date.now(), performance.now()), 30_000).unref();
  return () => clearInterval(timer);
}

/**
 * Sweeps `index` by the clock of the machine (`wallMs`), unless that was set less than an hour ago by the clock that
 * nobody sets (`steadyMs`): once it is set right, what seemed to have expired may be alive.
 */
export function createSweeper(index: RevocationIndex): (wallMs: number, steadyMs: number) => void {
  let apartMs = Number.NaN;
  let believedAt = Number.NEGATIVE_INFINITY;
  return (wallMs, steadyMs) => {
    const isSet = !(Math.abs(wallMs - steadyMs - apartMs) < setByMs);
    apartMs = wallMs - steadyMs;
    if (isSet) believedAt = steadyMs + doubtMs;
    if (steadyMs >= believedAt) index.sweep(wallMs / 1000);
  };
}
