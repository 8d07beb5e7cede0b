import { dictionary } from '@zxcvbn-ts/language-common';

const shortestPassword = 8;
const longestPassword = 1_024;
// Four characters of another spelling are one of NFC at the most.
const longestSpelling = 4 * longestPassword;

// What is shorter is refused for that alone.
const common = new Set(dictionary['passwords-common'].filter((word) => lengthOf(word) >= shortestPassword));

/**
 * The one spelling of a password (RFC 8265, section 4.2). NFC joins the spellings of one character; NFKC would also
 * join characters that differ, and weaken the password. Nothing is trimmed, folded or cut.
 */
export function normalizePassword(password: string): string {
  return composed(password.replace(/\p{Zs}/gu, ' '));
}

/** NFC, but of what is too long for a password or a name anyway: to put its accents in order takes the square of their number. */
export function composed(text: string): string {
  return lengthOf(text) > longestSpelling ? text : text.normalize('NFC');
}

/** Whether a password may be looked at, as its length goes: what nobody can have costs no hash. */
export function hasPossibleLength(password: string): boolean {
  return password.length > 0 && lengthOf(normalizePassword(password)) <= longestPassword;
}

/**
 * Why this may not be a password (ASVS 5.0, 6.2), in words for whoever chose it; undefined when it may. It is held to
 * its length and to the lists that attackers try first, and not to kinds of characters.
 * @param names what the account is called; a password that consists of that is none
 */
export function passwordFault(password: string, names: readonly (string | undefined)[]): string | undefined {
  const normalized = normalizePassword(password);
  // UTF-8 has no half a surrogate pair: two passwords would become one.
  if (!normalized.isWellFormed()) return 'This contains half a character. Please type it again.';
  const length = lengthOf(normalized);
  if (length < shortestPassword) return `Please use at least ${shortestPassword} characters.`;
  if (length > longestPassword) return `Please use at most ${longestPassword} characters.`;
  const folded = normalized.toLowerCase();
  if (isCommon(folded)) return 'This is one of the passwords that are tried first. Please choose another.';
  const rest = withoutNames(folded, names);
  if (rest !== folded && (lengthOf(rest) < shortestPassword || isCommon(rest))) {
    return 'This is too close to your name or to Gatehouse. Please choose another.';
  }
  return undefined;
}

function isCommon(folded: string): boolean {
  return common.has(folded) || common.has([...folded].reverse().join(''));
}

// Shorter names are in every other sentence.
const shortestName = 3;

function withoutNames(folded: string, names: readonly (string | undefined)[]): string {
  return ['gatehouse', ...names.map((name) => composed(name ?? '').toLowerCase())]
    .filter((name) => lengthOf(name) >= shortestName)
    .sort((one, other) => other.length - one.length)
    .reduce((rest, name) => rest.replaceAll(name, ''), folded);
}

// RFC 8265 counts characters, not what they take in memory.
function lengthOf(text: string): number {
  return [...text].length;
}
