import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';

const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout';

/** Whom a logout token is about. */
export interface Logout {
  sub: string;
  sid: string | undefined;
}

/**
 * What a client does with logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.6): takes one that the issuer
 * has signed for it, and each one once.
 */
export function createLogoutVerifier({
  issuer,
  clientId,
  keys,
}: {
  issuer: string;
  clientId: string;
  keys: () => Promise<JSONWebKeySet>;
}) {
  // A real client keeps them for as long as a token may be taken, where all its processes look.
  const seen = new Set<string>();

  /** @throws for every token that is none, or none for this client, or not the first time */
  return async (token: string): Promise<Logout> => {
    const { payload } = await jwtVerify(token, createLocalJWKSet(await keys()), {
      issuer,
      audience: clientId,
      typ: 'logout+jwt',
      algorithms: ['ES256'],
      requiredClaims: ['iat', 'exp', 'jti', 'events', 'sub'],
      maxTokenAge: '2 minutes',
    });
    const { sub = '', sid, jti = '', events, nonce } = payload;
    // An ID token has a nonce: without this, one could pass for a logout token.
    if (nonce !== undefined) throw new Error('a nonce has no place in a logout token');
    const isLogout = typeof events === 'object' && events !== null && logoutEvent in events;
    if (!isLogout) throw new Error('the token is about something else');
    if (seen.has(jti)) throw new Error('the token was used before');
    seen.add(jti);
    return { sub, sid: typeof sid === 'string' ? sid : undefined };
  };
}

/** What the receiver does with a request before it takes one: answers so, or never. */
export type Trouble = number | 'hang';

/** The back-channel logout endpoint of a client, on a port of its own. */
export async function startLogoutReceiver(
  verify: (token: string) => Promise<Logout>,
  trouble: Trouble[] = [],
) {
  const logouts: Logout[] = [];
  const tokens: string[] = [];
  const refusals: unknown[] = [];
  const hanging: ServerResponse[] = [];

  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const token = new URLSearchParams(Buffer.concat(chunks).toString()).get('logout_token') ?? '';
    tokens.push(token);
    const first = trouble.shift();
    if (first === 'hang') return void hanging.push(res);
    if (first !== undefined) return res.writeHead(first, { location: '/elsewhere' }).end('not now');
    // Section 2.8: a token that is not right is a bad request, and nothing is cached.
    const status = await verify(token).then(
      (logout) => logouts.push(logout) && 200,
      (err: unknown) => refusals.push(err) && 400,
    );
    res.writeHead(status, { 'cache-control': 'no-store' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/logout`,
    /** The logouts that it took, in order. */
    logouts,
    /** The tokens of all requests. */
    tokens,
    refusals,
    close: () =>
      new Promise<void>((resolve) => {
        for (const res of hanging) res.destroy();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
