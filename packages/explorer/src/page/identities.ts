import { changed } from './changes.ts';
import { decodeClaims } from './claims.ts';
import { isRefusal, renew, revoke, signIn, type Tokens } from './sign-in.ts';

/** Somebody who is signed in here. */
export interface Identity {
  readonly name: string;
  tokens: Tokens;
  /** Why nothing is taken of it any more, and nothing left to renew, once there is not. */
  ended?: string;
}

let identities: readonly Identity[] = [];
let chosen: Identity | undefined;
// The last minute of a token is for the requests that are under way.
const renewBeforeMs = 60_000;
const retryMs = 5_000;

export const everybody = (): readonly Identity[] => identities;

/** Whoever calls now; undefined is nobody, without a token. */
export const current = (): Identity | undefined => chosen;

/** Lets somebody else call; undefined for nobody. */
export function choose(identity: Identity | undefined): void {
  chosen = identity;
  changed();
}

/** Signs somebody in beside those who are. */
export async function add(asked: readonly string[], leaving: AbortSignal): Promise<Identity> {
  const tokens = await signIn(asked, leaving);
  const { sub, preferred_username: name = sub } = decodeClaims(tokens.idToken);
  const identity: Identity = { name: String(name), tokens };
  identities = [...identities, identity];
  choose(identity);
  renewInTime(identity);
  return identity;
}

/** Signs somebody out here: what was given for this sign-in ends, everywhere. */
export async function remove(identity: Identity): Promise<void> {
  const { refreshToken, accessToken } = identity.tokens;
  if (identity.ended === undefined) await revoke(refreshToken ?? accessToken);
  endGrantOf(accessToken, 'Signed out.');
  identities = identities.filter((other) => other !== identity);
  if (chosen === identity) choose(identities[0]);
  changed();
}

/** Marks whoever has tokens of the same grant: one that has ended takes all of them along. */
export function endGrantOf(accessToken: string, why: string): void {
  const { gid } = decodeClaims(accessToken);
  for (const identity of identities)
    if (decodeClaims(identity.tokens.accessToken).gid === gid) identity.ended ??= why;
  changed();
}

/** Renews the tokens of somebody now: before they expire, and when they are refused. */
export async function renewNow(identity: Identity): Promise<void> {
  if (identity.ended !== undefined) return;
  try {
    identity.tokens = await renew(identity.tokens);
  } catch (error) {
    // What was not answered may be tried again.
    if (isRefusal(error)) identity.ended = 'This sign-in has ended: its refresh token is not taken any more.';
  }
  changed();
}

function renewInTime(identity: Identity): void {
  const { expiresAt } = identity.tokens;
  setTimeout(
    async () => {
      if (identity.ended !== undefined) return;
      // A test or a person may have renewed it meanwhile.
      if (identity.tokens.expiresAt === expiresAt) await renewNow(identity);
      renewInTime(identity);
    },
    Math.max(retryMs, expiresAt - Date.now() - renewBeforeMs),
  );
}
