import { Readable } from 'node:stream';
import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import type { AccountStore } from '../accounts/accounts.ts';
import { apiAudience } from '../protocol/scopes.ts';
import { orUnavailable } from '../protocol/unavailable.ts';
import type { IssuedClaims, ReadIssuedToken } from './issued-token.ts';
import { type PresentedTokens, randomHandle } from './presented-tokens.ts';
import type { Revocations } from './revocation.ts';

interface TokenStatusDependencies {
  readIssuedToken: ReadIssuedToken;
  revocations: Revocations;
  accounts: AccountStore;
  presented: PresentedTokens;
}

type Middleware = (ctx: KoaContextWithOIDC, next: () => Promise<void>) => Promise<void>;

// As much as oidc-provider reads itself.
const longestForm = 56 * 1024;

/**
 * Whether the token can still be used, by the durable list of revocations and by its account.
 * @throws Unavailable when the database does not answer
 */
export function createIsLive({
  revocations,
  accounts,
}: Pick<TokenStatusDependencies, 'revocations' | 'accounts'>) {
  return (claims: IssuedClaims): Promise<boolean> =>
    orUnavailable(async () => {
      if (await revocations.isRevoked(claims)) return false;
      const isClients = claims.gid === undefined;
      return isClients || (await accounts.find(claims.sub))?.disabled === false;
    });
}

/**
 * Lets JWT access tokens be revoked (RFC 7009), introspected (RFC 7662) and used at userinfo, which oidc-provider does
 * for stored tokens alone: the request finds a live one as if it were stored, in a form under a handle, since the library
 * refuses whatever looks like a JWT.
 * Who may ask, and what is answered, stays the library's.
 */
export function acceptIssuedTokens(deps: TokenStatusDependencies): Middleware {
  const { readIssuedToken, presented } = deps;
  const isLive = createIsLive(deps);

  async function liveClaims(token: string): Promise<IssuedClaims | undefined> {
    const claims = await readIssuedToken(token);
    return claims && (await isLive(claims)) ? claims : undefined;
  }

  return async (ctx, next) => {
    const isForm = ctx.method === 'POST' && (ctx.path === '/revoke' || ctx.path === '/introspect');
    if (!isForm && ctx.path !== '/userinfo') return next();
    await (isForm ? presentForm(ctx) : presentHeader(ctx));
    return next();
  };

  async function presentHeader(ctx: KoaContextWithOIDC): Promise<void> {
    const [, token = ''] = /^(?:Bearer|DPoP) (\S+)$/i.exec(ctx.get('authorization')) ?? [];
    const claims = await liveClaims(token);
    if (claims?.aud !== apiAudience || claims.gid === undefined) return;
    // The library's own userinfo tokens have no audience, and it takes no other. Under its own text, which proofs are about.
    presented.present(ctx, token, claims, undefined);
  }

  async function presentForm(ctx: KoaContextWithOIDC): Promise<void> {
    if (!ctx.is('application/x-www-form-urlencoded') || Number(ctx.get('content-length')) > longestForm) {
      return;
    }
    const body = await readAtMost(ctx.req, longestForm + 1);
    const form = new URLSearchParams(body.toString());
    const [token = '', ...others] = form.getAll('token');
    // The library's own tokens have no dot in them.
    if (others.length > 0 || !token.includes('.')) {
      replaceBody(ctx, body);
      return;
    }
    const claims = await liveClaims(token);
    const handle = randomHandle();
    if (claims) presented.present(ctx, handle, claims, claims.aud);
    form.set('token', handle);
    replaceBody(ctx, Buffer.from(form.toString()));
  }
}

async function readAtMost(source: Readable, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let received = 0;
  try {
    for await (const chunk of source.iterator({ destroyOnReturn: false })) {
      chunks.push(chunk);
      received += chunk.length;
      if (received >= length) break;
    }
  } catch (cause) {
    // The client has gone, which is no failure of ours.
    throw new errors.InvalidRequest('the form did not arrive whole', undefined, { cause });
  }
  return Buffer.concat(chunks);
}

function replaceBody(ctx: KoaContextWithOIDC, body: Buffer): void {
  if (ctx.req.headers['content-length'] !== undefined)
    ctx.req.headers['content-length'] = String(body.length);
  ctx.req = Object.assign(Readable.from([body]), { headers: ctx.req.headers }) as typeof ctx.req;
}
