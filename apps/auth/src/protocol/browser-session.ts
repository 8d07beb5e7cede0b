import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Provider } from 'oidc-provider';

/** The session of oidc-provider that this browser has, outside the protocol's own requests. */
export interface BrowserSession {
  /** Stays the same until the session ends, and is known to nobody else. */
  uid: string;
  /** Undefined when nobody is signed in. */
  accountId: string | undefined;
  /**
   * Begins the session anew under another name, when all sessions of its account have ended: whoever had copied the
   * cookie has nothing.
   * @param since from when on a sign-in counts, in epoch seconds
   */
  renew(since: number): Promise<void>;
}

/** Reads the session; changes nothing. */
export async function browserSession(
  provider: Provider,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<BrowserSession> {
  const ctx = provider.createContext(req, res);
  const session = await provider.Session.get(ctx);
  return {
    uid: session.uid,
    accountId: session.accountId,
    async renew(since) {
      session.resetIdentifier();
      // Its clients have been told that it is over.
      Object.assign(session, { since, authorizations: {} });
      await session.persist();
      ctx.cookies.set(provider.cookieName('session'), session.jti, {
        signed: true,
        overwrite: true,
        httpOnly: true,
        sameSite: 'lax',
        expires: new Date(session.exp * 1000),
      });
    },
  };
}

/** What tells this browser from others before anybody is signed in: a cookie of its own for `path` and below. */
export function browserMark(
  provider: Provider,
  req: IncomingMessage,
  res: ServerResponse,
  path: string,
): string {
  const { cookies } = provider.createContext(req, res);
  const options = { signed: true, overwrite: true, httpOnly: true, sameSite: 'lax', path } as const;
  const known = cookies.get('mark', options);
  if (known !== undefined) return known;
  const mark = randomBytes(16).toString('base64url');
  cookies.set('mark', mark, options);
  return mark;
}
