import type { Revocation } from './denylist.ts';

/** The names in Redis. The braces keep them on one node of a cluster. */
export function logKeys(name: string): { stream: string; marker: string; replay: string } {
  return { stream: `{${name}}`, marker: `{${name}}:complete`, replay: `{${name}}:replay` };
}

/** One entry of the log as the fields of a stream entry. */
export function encode(revocation: Revocation): string[] {
  return Object.entries(revocation).flatMap(([name, value]) => [name, String(value)]);
}

/** The revocation in the fields of a stream entry, undefined when there is none. */
export function decode(fields: readonly string[]): Revocation | undefined {
  const entry = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) entry.set(String(fields[i]), String(fields[i + 1]));
  const exp = Number(entry.get('exp') || Number.NaN);
  const notBefore = Number(entry.get('notBefore') || Number.NaN);
  const [jti, gid, sub] = [entry.get('jti'), entry.get('gid'), entry.get('sub')];
  if (!Number.isFinite(exp)) return undefined;
  if (jti) return { jti, exp };
  if (gid) return { gid, exp };
  if (sub && Number.isFinite(notBefore)) return { sub, notBefore, exp };
  return undefined;
}
