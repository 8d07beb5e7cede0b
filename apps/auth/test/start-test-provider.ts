import { listenApp } from '@gatehouse/test-kit';
import { type CryptoKey, decodeJwt, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { type ClientMetadata, Provider } from 'oidc-provider';
import { issuer } from './start-test-auth.ts';

/** Somebody with an account at the other provider. */
export interface Person {
  sub: string;
  name?: string;
  preferred_username?: string;
  email?: string;
  email_verified?: boolean;
}

type How = 'as usual' | 'never' | number;

export type TestProvider = Awaited<ReturnType<typeof startTestProvider>>;

export const providerClient = {
  id: 'gatehouse-elsewhere',
  secret: 'a-secret-between-gatehouse-and-the-provider',
};

/** Another OpenID provider, where whoever comes is signed in at once as the person whom the test names. */
export async function startTestProvider(metadata: Partial<ClientMetadata> = {}) {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid: 'elsewhere', alg: 'ES256', use: 'sig' };
  const people = new Map<string, Person>();
  const requests: string[] = [];

  let answer = (_path: string): How | Promise<How> => 'as usual';
  let provider: Provider | undefined;
  const listening = await listenApp(async (req, res) => {
    const path = (req.url ?? '').split('?', 1)[0] ?? '';
    requests.push(path);
    const how = await answer(path);
    if (how === 'never') return;
    if (typeof how === 'number') return void res.writeHead(how).end();
    if (path.startsWith('/interaction/')) return void signIn();
    // The library takes both ways of sending a secret from every client. Others do not.
    const isPost = metadata.token_endpoint_auth_method === 'client_secret_post';
    if (path === '/token' && isPost === 'authorization' in req.headers) return void res.writeHead(401).end();
    provider?.callback()(req, res);

    async function signIn() {
      const { person, refusal } = knobs;
      people.set(person.sub, person);
      const result = refusal ? { error: refusal } : { login: { accountId: person.sub } };
      await provider?.interactionFinished(req, res, result);
    }
  });
  const { url } = listening;

  const knobs = {
    url,
    /** The paths that were asked for. */
    requests,
    /** Who signs in next. */
    person: { sub: 'somebody' } as Person,
    /** The error that the next sign-in ends with. */
    refusal: undefined as string | undefined,
    /** What becomes of the claims of an ID token before it is signed. */
    change: undefined as ((claims: JWTPayload) => JWTPayload) | undefined,
    /** What signs ID tokens instead of the published key. */
    signingKey: undefined as CryptoKey | undefined,
    /** What it says about itself, beside the truth. */
    metadata: {} as Record<string, unknown>,
    /** How each path is answered. */
    answerWith(how: typeof answer) {
      answer = how;
    },
    close: () => listening.close(),
  };

  provider = new Provider(url, {
    clients: [
      {
        client_id: providerClient.id,
        client_secret: providerClient.secret,
        redirect_uris: [`${issuer}/interaction/federation/callback`],
        id_token_signed_response_alg: 'ES256',
        ...metadata,
      },
    ],
    jwks: { keys: [jwk] },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    cookies: { keys: ['a key for the cookies of a test'] },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] },
    ttl: { Interaction: 60, Grant: 60, Session: 60, AccessToken: 60, IdToken: 60 },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ ...people.get(sub), sub }) }),
    async loadExistingGrant({ oidc }) {
      const { accountId } = oidc.session ?? {};
      const grant = new oidc.provider.Grant({ clientId: providerClient.id, ...(accountId && { accountId }) });
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
  });
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.path.startsWith('/.well-known/')) Object.assign(ctx.body as object, knobs.metadata);
    const body = ctx.body as { id_token?: string } | undefined;
    if (ctx.path !== '/token' || !body?.id_token || !(knobs.change || knobs.signingKey)) return;
    const claims = decodeJwt(body.id_token);
    body.id_token = await new SignJWT(knobs.change ? knobs.change(claims) : claims)
      .setProtectedHeader({ alg: 'ES256', kid: 'elsewhere' })
      .sign(knobs.signingKey ?? privateKey);
  });

  return knobs;
}
