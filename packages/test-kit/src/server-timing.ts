import assert from 'node:assert/strict';

// W3C Server Timing, 4.1, of what it allows the part that we write: RFC 9110, 5.6.2 and 5.6.4.
const entry = /([\w!#$%&'*+.^`|~-]+)(?:;desc="((?:[ !#-[\]-~]|\\[ -~])*)")?;dur=(\d+\.\d{3})(?:, ?|$)/y;

/** The checks that an answer tells of, each with its verdict, in order; asserts that the header is well-formed. */
export function checksIn(serverTiming: string | null | undefined): string[] {
  const checks: string[] = [];
  const text = serverTiming ?? '';
  entry.lastIndex = 0;
  for (let end = 0; end < text.length; end = entry.lastIndex) {
    const [, name, verdict] = entry.exec(text) ?? assert.fail(`no Server-Timing from ${end}: ${text}`);
    checks.push(verdict === undefined ? `${name}` : `${name}: ${verdict}`);
  }
  return checks;
}
