import { type Logger, Problem, requestIdOf } from '@gatehouse/service-kit';
import { type Request, type RequestHandler, type Response, Router, urlencoded } from 'express';
import { errors, type Provider } from 'oidc-provider';
import { type Account, type AccountStore, momentOfSignIn } from '../accounts/accounts.ts';
import { registerHref } from '../accounts/register-routes.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { type FederationSignIn, federationLink, federationRoutes } from '../federation/federation-routes.ts';
import { LimitExceeded, type Limits } from '../limits/limits.ts';
import { consentPage } from '../pages/consent.ts';
import { csrfToken, refuseCrossSite, requireCsrfToken } from '../pages/csrf.ts';
import { formField } from '../pages/form-field.ts';
import { stylesheet } from '../pages/layout.ts';
import { loginPage } from '../pages/login.ts';
import { pageForError, sendPage } from '../pages/page-for-error.ts';
import { finishSignIn, type Interaction, selectAccount } from './finish-sign-in.ts';
import type { RememberedGrants } from './remembered-grants.ts';

interface InteractionDependencies {
  /** Asked for at each use, so that the pages hold no provider of their own. */
  provider: () => Provider;
  accounts: AccountStore;
  grants: RememberedGrants;
  csrfSecret: string | Uint8Array;
  issuer: string;
  limits: Limits;
  audit: AuditLog;
  logger: Logger;
  /** Whether the sign-in page leads to the registration. */
  allowRegistration?: boolean;
  /** Signing in elsewhere, when it is configured. */
  signInElsewhere?: FederationSignIn | undefined;
}

/** The steps that ask who is there. */
const signingInPrompts = ['login', selectAccount];

/**
 * The pages between /authorize and the redirect back to the client: sign-in and consent, as plain forms.
 * GET changes nothing; a POST needs the token of its own interaction and must come from our own pages.
 */
export function interactionRouter(deps: InteractionDependencies): Router {
  const { accounts, csrfSecret, limits, audit, logger, signInElsewhere } = deps;
  const router = Router({ caseSensitive: true, strict: true });

  router.get('/style.css', (_req, res) => {
    res.set({ 'Cache-Control': 'public, max-age=31536000, immutable', 'X-Content-Type-Options': 'nosniff' });
    res.type('css').send(stylesheet);
  });

  router.get('/:uid', async (req, res) => {
    const interaction = await interactionOf(req, res);
    const { login_hint: hint } = interaction.params;
    const username = typeof hint === 'string' ? hint : '';
    if (interaction.prompt.name === 'consent') await sendConsent(res, interaction);
    else await sendLogin(res, interaction, { username, refused: false });
  });

  router.post('/{*path}', refuseCrossSite(deps.issuer), urlencoded({ extended: false, limit: '32kb' }));

  router.post('/:uid', async (req, res) => {
    const interaction = await submittedInteraction(req, res, signingInPrompts);
    const username = formField(req, 'username');
    const password = formField(req, 'password');
    let account: Account | undefined;
    try {
      account = await limits.guessPassword(req, username, () => accounts.authenticate(username, password));
    } catch (error) {
      if (!(error instanceof LimitExceeded)) throw error;
      res.set(error.headers);
      await sendLogin(res, interaction, { username, refused: false, status: 429, notice: error.message });
      return;
    }
    const clientId = clientOf(interaction);
    const requestId = requestIdOf(req);
    const signIn = { event: 'sign-in', clientId, detail: { by: 'password' } } as const;
    if (account === undefined) {
      logger.info({ requestId, clientId }, 'sign-in refused');
      const accountId = await accounts.idOf(username);
      await audit.record({ ...signIn, outcome: 'failure', accountId }, req);
      await sendLogin(res, interaction, { username, refused: true });
      return;
    }
    logger.info({ requestId, clientId, accountId: account.id }, 'signed in');
    await audit.record({ ...signIn, outcome: 'success', accountId: account.id }, req);
    const ts = Math.floor(Date.now() / 1000);
    const login = { accountId: account.id, amr: ['pwd'], ts, since: momentOfSignIn(account) };
    await finishSignIn(deps.provider(), interaction, login, { req, res });
  });

  router.post('/:uid/continue', async (req, res) => {
    const interaction = await submittedInteraction(req, res, [selectAccount]);
    await signedInAccount(interaction);
    await deps.provider().interactionFinished(req, res, { [selectAccount]: {} });
  });

  router.post('/:uid/confirm', async (req, res) => {
    const interaction = await submittedInteraction(req, res, ['consent']);
    const account = await signedInAccount(interaction);
    const clientId = clientOf(interaction);
    const consent = { event: 'consent', accountId: account.id, clientId } as const;
    const { grant, asked: scopes } = await question(interaction, account);
    await audit.record({ ...consent, outcome: 'success', detail: { scopes } }, req);
    const missing = missingScopes(interaction);
    if (missing.openid.length > 0) grant.addOIDCScope(missing.openid);
    for (const [resource, names] of Object.entries(missing.resources))
      grant.addResourceScope(resource, names);
    const grantId = await deps.grants.allow(grant, scopes);
    logger.info({ requestId: requestIdOf(req), clientId, accountId: account.id }, 'consent given');
    await deps.provider().interactionFinished(req, res, { consent: { grantId } });
  });

  router.post('/:uid/abort', async (req, res) => {
    const interaction = await submittedInteraction(req, res);
    const clientId = clientOf(interaction);
    const { name: prompt } = interaction.prompt;
    logger.info({ requestId: requestIdOf(req), clientId, prompt }, 'denied');
    const event = prompt === 'consent' ? 'consent' : 'sign-in';
    const accountId = interaction.session?.accountId;
    await audit.record({ event, outcome: 'failure', accountId, clientId, detail: { reason: 'denied' } }, req);
    await deps.provider().interactionFinished(req, res, {
      error: 'access_denied',
      error_description: 'the end-user denied the request',
    });
  });

  if (signInElsewhere) {
    const signingIn = (req: Request, res: Response) => interactionOf(req, res, signingInPrompts);
    router.use(federationRoutes({ ...deps, ...signInElsewhere, signingIn, sendLogin }));
  }

  router.all('/:uid', refuseMethod('GET, HEAD, POST'));
  router.all(['/:uid/confirm', '/:uid/continue', '/:uid/abort'], refuseMethod('POST'));

  router.use(pageForError(logger));

  return Router({ caseSensitive: true }).use('/interaction', router);

  // The library knows the browser by its cookie; the address must name the same interaction.
  async function interactionOf(
    req: Request,
    res: Response,
    prompts?: readonly string[],
  ): Promise<Interaction> {
    const interaction = await deps.provider().interactionDetails(req, res);
    if (interaction.uid !== req.params.uid) throw new errors.SessionNotFound('another interaction');
    requirePrompt(interaction, prompts);
    return interaction;
  }

  async function submittedInteraction(
    req: Request,
    res: Response,
    prompts?: readonly string[],
  ): Promise<Interaction> {
    const interaction = await interactionOf(req, res);
    requireCsrfToken(csrfSecret, interaction.uid, req);
    requirePrompt(interaction, prompts);
    return interaction;
  }

  async function signedInAccount({ session }: Interaction): Promise<Account> {
    // The library has seen to it that the session is still there.
    const account = session && (await accounts.find(session.accountId));
    if (!account || account.disabled) throw new errors.SessionNotFound('nobody is signed in');
    return account;
  }

  /** What the account is asked to allow, and what it has allowed before. */
  async function question(interaction: Interaction, { id: accountId }: Account) {
    const clientId = clientOf(interaction);
    const { Grant } = deps.provider();
    // The library has seen to it that the grant is this account's and this client's.
    const earlier = interaction.grantId === undefined ? undefined : await Grant.find(interaction.grantId);
    const grant = earlier ?? new Grant({ accountId, clientId });
    const granted = unique([
      ...[grant.getOIDCScope(), ...Object.values(grant.resources ?? {})].flatMap(scopeList),
      ...(await deps.grants.find(accountId, clientId)),
    ]);
    const { openid, resources } = missingScopes(interaction);
    const missing = unique([...openid, ...Object.values(resources).flat()]);
    // Some are asked about every time, also when nothing is new (RFC 8252, 8.6).
    const repeated = scopeList(interaction.params.scope).filter((name) => granted.includes(name));
    const asked = missing.length > 0 ? missing : repeated;
    // Another window may have allowed meanwhile what this one still asks.
    const before = missing.length > 0 ? granted.filter((name) => !missing.includes(name)) : [];
    return { grant, asked, granted: before };
  }

  async function sendLogin(
    res: Response,
    interaction: Interaction,
    { status, ...view }: { username: string; refused: boolean; status?: number; notice?: string },
  ) {
    const name = signInElsewhere?.federation.name;
    const elsewhere =
      name === undefined ? undefined : { name, href: federationLink(csrfSecret, interaction.uid) };
    const registration = deps.allowRegistration ? registerHref(interaction.uid) : undefined;
    const isChoice = interaction.prompt.name === selectAccount && interaction.session !== undefined;
    const signedIn = isChoice ? await signedInAccount(interaction) : undefined;
    const page = loginPage({ ...(await formView(interaction)), ...view, elsewhere, registration, signedIn });
    sendPage(res, status ?? (view.refused ? 401 : 200), page, interaction.params.redirect_uri);
  }

  async function sendConsent(res: Response, interaction: Interaction) {
    const account = await signedInAccount(interaction);
    const { asked, granted } = await question(interaction, account);
    const { redirect_uri: redirectUri } = interaction.params;
    const page = consentPage({
      ...(await formView(interaction)),
      account,
      scopes: asked,
      grantedScopes: granted,
      returnsTo: typeof redirectUri === 'string' ? placeOf(redirectUri) : undefined,
    });
    sendPage(res, 200, page, redirectUri);
  }

  async function formView({ uid, params }: Interaction) {
    const client = await deps.provider().Client.find(String(params.client_id));
    if (client === undefined) throw new errors.SessionNotFound('the client is gone');
    return {
      path: `/interaction/${uid}`,
      csrfToken: csrfToken(csrfSecret, uid),
      clientName: client.clientName ?? client.clientId,
    };
  }
}

function requirePrompt({ prompt: { name } }: Interaction, prompts: readonly string[] | undefined): void {
  if (prompts !== undefined && !prompts.includes(name)) throw new errors.SessionNotFound('another step');
}

function refuseMethod(allowed: string): RequestHandler {
  return () => {
    throw new Problem(405, 'Please go back to the application and start again.', {
      headers: { Allow: allowed },
    });
  };
}

// What stands where a host would in a scheme of an application's own is whatever it likes.
function placeOf(redirectUri: string): string {
  const { protocol, host } = new URL(redirectUri);
  return /^https?:$/.test(protocol) ? host : 'the application';
}

function missingScopes({ prompt: { details } }: Interaction) {
  const { missingOIDCScope = [], missingResourceScopes = {} } = details as {
    missingOIDCScope?: string[];
    missingResourceScopes?: Record<string, string[]>;
  };
  return { openid: missingOIDCScope, resources: missingResourceScopes };
}

function clientOf({ params }: Interaction): string {
  return String(params.client_id);
}

function scopeList(scope: unknown): string[] {
  return typeof scope === 'string' ? scope.split(' ').filter(Boolean) : [];
}

// A scope may belong to the account and to an API as well.
function unique(names: string[]): string[] {
  return [...new Set(names)];
}
