import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { createLogger, openDatabase } from '@gatehouse/service-kit';
import { type Browser, createBrowser, listenApp, type Page } from '@gatehouse/test-kit';
import express from 'express';
import { type ClientMetadata, Provider } from 'oidc-provider';
import { type AccountStore, createAccountStore } from '../src/accounts.ts';
import { interactionRouter } from '../src/interaction.ts';
import { renderError } from '../src/pages/error.ts';
import { logoutSource, postLogoutSuccessSource } from '../src/pages/logout.ts';
import { apiAudience, apiScopes, openidScopes, resourceServer } from '../src/scopes.ts';

const callback = 'http://localhost:9999/callback';

export const alice = {
  id: randomUUID(),
  username: 'alice',
  password: 'alice-demo-pass',
  displayName: 'Alice Example',
  email: 'alice@example.com',
  roles: ['customer'],
  disabled: false,
};
export const bob = {
  ...alice,
  id: randomUUID(),
  username: 'bob',
  password: 'bob-demo-pass',
  displayName: 'Bob Example',
};
export const carol = {
  ...alice,
  id: randomUUID(),
  username: 'carol',
  password: 'carol-demo-pass',
  disabled: true,
};

const client: ClientMetadata = {
  client_id: 'demo-web',
  client_name: 'Demo Web',
  client_secret: 'demo-web-secret',
  redirect_uris: [callback],
  post_logout_redirect_uris: ['http://localhost:9999/signed-out'],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
};

/** An account store on a database in memory, with alice, bob and carol in it. */
export async function openAccounts(): Promise<{ accounts: AccountStore; close(): Promise<void> }> {
  const embedded = await openEmbeddedPostgres(undefined);
  const migrations = new URL('../migrations', import.meta.url);
  const logger = createLogger({ name: 'auth', level: 'silent' });
  const { db } = await openDatabase({ embedded }, { name: 'auth', migrations, logger });
  const accounts = createAccountStore(db);
  await accounts.seed([alice, bob, carol]);
  return { accounts, close: () => embedded.close() };
}

export interface InteractionApp {
  url: string;
  /** The lines that the router logged. */
  log: string[];
  browser(): Browser;
  authorizeUrl(parameters?: Record<string, string>): string;
  /** Opens /authorize, which ends on the sign-in page. */
  signInPage(browser: Browser, parameters?: Record<string, string>): Promise<Page>;
  /** Signs in, which ends on the consent page. */
  signIn(browser: Browser, parameters?: Record<string, string>, account?: typeof alice): Promise<Page>;
}

/** The interaction pages around a real oidc-provider, until the test ends. */
export async function startInteractionApp(
  t: TestContext,
  accounts: AccountStore,
  { clients = [] }: { clients?: Partial<ClientMetadata>[] } = {},
): Promise<InteractionApp> {
  let app: (req: IncomingMessage, res: ServerResponse) => void = (_req, res) => void res.destroy();
  const listening = await listenApp((req, res) => app(req, res));
  t.after(() => listening.close());
  const issuer = listening.url;
  const log: string[] = [];
  const provider = new Provider(issuer, {
    clients: [client, ...clients.map((more) => ({ ...client, ...more }))],
    cookies: { keys: ['a key of this test'] },
    claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => apiAudience,
        getResourceServerInfo: () => ({
          ...resourceServer(apiAudience, apiScopes),
          accessTokenFormat: 'opaque',
        }),
      },
      rpInitiatedLogout: { enabled: true, logoutSource, postLogoutSuccessSource },
    },
    findAccount: async (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    renderError,
    responseTypes: ['code'],
    routes: { authorization: '/authorize', end_session: '/logout' },
    scopes: openidScopes,
  });
  const logger = createLogger({ name: 'auth', level: 'info' }, { write: (line) => void log.push(line) });
  app = express()
    .use(
      interactionRouter({
        provider: () => provider,
        accounts,
        csrfSecret: 'a secret of this test',
        issuer,
        logger,
      }),
    )
    .use(provider.callback());

  const authorizeUrl = (parameters: Record<string, string> = {}) => {
    const query = new URLSearchParams({
      client_id: 'demo-web',
      redirect_uri: callback,
      response_type: 'code',
      scope: 'openid profile items:read',
      state: 'the-state',
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
      ...parameters,
    });
    return `${issuer}/authorize?${query}`;
  };
  return {
    url: issuer,
    log,
    browser: () => createBrowser(),
    authorizeUrl,
    signInPage: (browser, parameters) => browser.open(authorizeUrl(parameters)),
    async signIn(browser, parameters, { username, password } = alice) {
      return browser.submit(await browser.open(authorizeUrl(parameters)), { username, password });
    },
  };
}
