import { randomBytes } from 'node:crypto';
import { type Db, type Logger, Problem } from '@gatehouse/service-kit';
import { type Request, type RequestHandler, type Response, Router, urlencoded } from 'express';
import type { Provider } from 'oidc-provider';
import type { AuditLog } from '../audit/audit-log.ts';
import { accountPages } from '../clients/clients.ts';
import type { ConsentStore } from '../interaction/consents.ts';
import type { Limits } from '../limits/limits.ts';
import { accountPage, applicationsPage, passwordPage, signOutEverywherePage } from '../pages/account.ts';
import { csrfToken, refuseCrossSite, requireCsrfToken } from '../pages/csrf.ts';
import { errorPage } from '../pages/error.ts';
import { formField } from '../pages/form-field.ts';
import { html } from '../pages/html.ts';
import { pageForError, sendPage } from '../pages/page-for-error.ts';
import { type BrowserSession, browserSession } from '../protocol/browser-session.ts';
import type { AccountAccess } from './account-access.ts';
import type { Account, AccountStore } from './accounts.ts';
import { passwordFault } from './passwords.ts';

interface AccountDependencies {
  /** Asked for at each use, so that the pages hold no provider of their own. */
  provider: () => Provider;
  issuer: string;
  accounts: AccountStore;
  access: AccountAccess;
  consents: ConsentStore;
  csrfSecret: string | Uint8Array;
  limits: Limits;
  audit: AuditLog;
  logger: Logger;
}

interface SignedIn {
  account: Account;
  session: BrowserSession;
  csrfToken: string;
}

const notices: Readonly<Record<string, string>> = {
  password: 'Your password has been changed, and everything else has been signed out.',
  withdrawn: 'The application has no access any more.',
};

const withdrawn = '/account/applications?done=withdrawn';

const perhapsChanged =
  'The fault is on our side. Your new password may be good already: please sign in with it, or else with the old one.';

/**
 * The pages on which people see to their own account. Whoever is not signed in goes to the sign-in page first, and comes
 * back. GET changes nothing; a POST needs the token of this session and must come from our own pages.
 */
export function accountRouter(deps: AccountDependencies): RequestHandler {
  const { accounts, access, audit, consents, csrfSecret } = deps;
  const router = Router({ caseSensitive: true, strict: true });
  const signedIn = new WeakMap<Request, SignedIn>();

  router.get('/signed-in', (req, res) => {
    if (req.query.error === undefined) return res.redirect(303, '/account');
    const again = html`You are not signed in. <a href="/account">Try again</a>`;
    sendPage(res, 401, errorPage('Not signed in', again));
  });

  router.use(async (req, res, next) => {
    const session = await browserSession(deps.provider(), req, res);
    const account = session.accountId === undefined ? undefined : await accounts.find(session.accountId);
    if (account === undefined || account.disabled) return res.redirect(303, signInHref(deps.issuer));
    signedIn.set(req, { account, session, csrfToken: csrfToken(csrfSecret, csrfPurpose(session)) });
    next();
  });

  router.post('/{*path}', refuseCrossSite(deps.issuer), urlencoded({ extended: false, limit: '64kb' }));
  router.post('/{*path}', (req, _res, next) => {
    requireCsrfToken(csrfSecret, csrfPurpose(here(req).session), req);
    next();
  });

  router.get('/', async (req, res) => {
    const { account } = here(req);
    const hasPassword = await accounts.hasPassword(account.id);
    sendPage(res, 200, accountPage({ account, hasPassword, notice: noticeOf(req) }));
  });

  router.get('/password', async (req, res) => {
    await requirePassword(req);
    sendPasswordForm(req, res, {});
  });

  router.post('/password', async (req, res) => {
    await requirePassword(req);
    const { account, session } = here(req);
    const { id: accountId, username, email } = account;
    const next = formField(req, 'password');
    const current = formField(req, 'current');
    const fault = passwordFault(next, [username, email?.split('@')[0]]);
    if (fault !== undefined) return sendPasswordForm(req, res, { password: fault });
    if (formField(req, 'again') !== next) {
      return sendPasswordForm(req, res, { again: 'This is not the same password.' });
    }
    const change = await deps.limits.guessPassword(req, username, () =>
      accounts.changeOfPassword(accountId, { current, next }),
    );
    const event = { event: 'password-change', accountId } as const;
    if (change === undefined) {
      await audit.record({ ...event, outcome: 'failure' }, req);
      return sendPasswordForm(req, res, { current: 'This is not your current password.' });
    }
    const alongside = async (tx: Db) => {
      await change(tx);
      await audit.record({ ...event, outcome: 'success' }, req, tx);
    };
    try {
      await session.renew(await access.endAll(accountId, { alongside }));
    } catch (cause) {
      if (cause instanceof Problem && cause.status < 500) throw cause;
      // The change may be done, and the denylist alone be missing, or this session.
      throw new Problem(503, perhapsChanged, { cause, headers: { 'Retry-After': '2' } });
    }
    res.redirect(303, '/account?done=password');
  });

  router.get('/applications', async (req, res) => {
    const { account, csrfToken } = here(req);
    const { Client } = deps.provider();
    const applications = await Promise.all(
      (await consents.list(account.id)).map(async ({ clientId, openidScopes, apiScopes, createdAt }) => {
        const client = await Client.find(clientId);
        const name = client?.clientName ?? clientId;
        return { clientId, name, scopes: [...openidScopes, ...apiScopes], since: createdAt };
      }),
    );
    sendPage(res, 200, applicationsPage({ csrfToken, applications, notice: noticeOf(req) }));
  });

  router.post('/applications', async (req, res) => {
    const accountId = here(req).account.id;
    const clientId = formField(req, 'client');
    const isAllowed = (await consents.list(accountId)).some((consent) => consent.clientId === clientId);
    // Whoever clicks twice, or in a second window, has what was asked for.
    if (!isAllowed) return res.redirect(303, withdrawn);
    const event = { event: 'consent-withdrawal', outcome: 'success', accountId, clientId } as const;
    const alongside = async (tx: Db) => {
      await consents.forget(tx, accountId, clientId);
      await audit.record(event, req, tx);
    };
    await access.endGrantsOf(accountId, clientId, { alongside });
    res.redirect(303, withdrawn);
  });

  router.get('/sign-out-everywhere', (req, res) => {
    sendPage(res, 200, signOutEverywherePage(here(req)));
  });

  router.post('/sign-out-everywhere', async (req, res) => {
    const accountId = here(req).account.id;
    const event = { event: 'sign-out', outcome: 'success', accountId, detail: { everywhere: true } } as const;
    const alongside = (tx: Db) => audit.record(event, req, tx);
    await access.endAll(accountId, { alongside, changesNothing: true });
    res.redirect(303, '/logout/success');
  });

  router.use((req) => {
    const isKnown = ['/', '/password', '/applications', '/sign-out-everywhere'].includes(req.path);
    if (!isKnown) throw new Problem(404, 'There is no such page.');
    const allowed = req.path === '/' ? 'GET, HEAD' : 'GET, HEAD, POST';
    throw new Problem(405, 'This page does not take that.', { headers: { Allow: allowed } });
  });

  router.use(pageForError(deps.logger));

  return Router({ caseSensitive: true }).use('/account', router);

  function here(req: Request): SignedIn {
    const found = signedIn.get(req);
    if (found === undefined) throw new Error('nobody has been asked to sign in here');
    return found;
  }

  async function requirePassword(req: Request): Promise<void> {
    if (await accounts.hasPassword(here(req).account.id)) return;
    throw new Problem(404, 'You sign in with an account elsewhere, so there is no password to change here.');
  }

  function sendPasswordForm(req: Request, res: Response, faults: Record<string, string>): void {
    const { account, csrfToken } = here(req);
    const status = Object.keys(faults).length > 0 ? 422 : 200;
    sendPage(res, status, passwordPage({ csrfToken, username: account.username, faults }));
  }
}

/**
 * Has somebody sign in and come back. The code that comes back as well is nobody's: who is signed in, the session tells,
 * and the verifier of the challenge is known to no one.
 */
function signInHref(issuer: string): string {
  const url = new URL('/authorize', issuer);
  const random = () => randomBytes(32).toString('base64url');
  url.search = new URLSearchParams({
    client_id: accountPages,
    response_type: 'code',
    redirect_uri: `${issuer}/account/signed-in`,
    scope: 'openid',
    state: random(),
    code_challenge: random(),
    code_challenge_method: 'S256',
  }).toString();
  return url.href;
}

function csrfPurpose({ uid }: BrowserSession): string {
  return `account ${uid}`;
}

function noticeOf({ query: { done } }: Request): string | undefined {
  return typeof done === 'string' && Object.hasOwn(notices, done) ? notices[done] : undefined;
}
