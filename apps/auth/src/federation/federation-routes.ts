import { type Db, type Logger, Problem } from '@gatehouse/service-kit';
import { type Request, type Response, Router } from 'express';
import type { Provider } from 'oidc-provider';
import { type Account, momentOfSignIn } from '../accounts/accounts.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { finishSignIn, type Interaction } from '../interaction/finish-sign-in.ts';
import { csrfToken, isCsrfToken, refuseCrossSite } from '../pages/csrf.ts';
import type { Vault } from '../protocol/vault.ts';
import { accountOfIdentity } from './federated-accounts.ts';
import {
  createFederation,
  type FederatedIdentity,
  type Federation,
  FederationError,
  type FederationFault,
  federationCallback,
  interactionOfState,
} from './federation.ts';
import { createFederationAttempts } from './federation-attempts.ts';
import type { FederationSettings } from './federation-settings.ts';

/** What the sign-in page needs to offer the provider, and what the routes need to answer its link. */
export interface FederationSignIn {
  federation: Federation;
  accountOf: (identity: FederatedIdentity) => Promise<Account>;
}

/** Sign-in at the provider of `settings`. */
export function createFederationSignIn({
  settings,
  issuer,
  db,
  vault,
  logger,
}: {
  settings: FederationSettings;
  issuer: string;
  db: Db;
  vault: Vault;
  logger: Logger;
}): FederationSignIn {
  const attempts = createFederationAttempts(db, vault);
  const redirectUri = issuer + federationCallback;
  return {
    federation: createFederation({ settings, attempts, redirectUri, logger }),
    accountOf: (identity) => accountOfIdentity(db, identity),
  };
}

interface FederationRoutesDependencies extends FederationSignIn {
  provider: () => Provider;
  csrfSecret: string | Uint8Array;
  issuer: string;
  audit: AuditLog;
  logger: Logger;
  /** The interaction that this browser's cookie and the address name, when it asks who is there. */
  signingIn: (req: Request, res: Response) => Promise<Interaction>;
  /** Sends the sign-in page. */
  sendLogin: (
    res: Response,
    interaction: Interaction,
    view: { username: string; refused: boolean; status: number; notice: string },
  ) => Promise<void>;
}

/**
 * The way to the provider and back. It begins with a link and no form: Chromium holds a form's whole redirect chain to
 * `form-action`, and where a provider redirects to is its own affair.
 */
export function federationRoutes(deps: FederationRoutesDependencies): Router {
  const { federation, csrfSecret, audit, logger } = deps;
  const { name } = federation;
  const router = Router();

  // The address that the provider knows. The cookie of an interaction is good below its own path only.
  router.get('/federation/callback', (req, res) => {
    const uid = interactionOfState(req.query.state);
    if (uid === undefined) throw new Problem(400, notOurs);
    res.redirect(303, `/interaction/${uid}/federation/answer?${queryOf(req)}`);
  });

  router.get('/:uid/federation', refuseCrossSite(deps.issuer), async (req, res) => {
    const interaction = await deps.signingIn(req, res);
    if (!isCsrfToken(csrfSecret, purpose(interaction.uid), req.query.csrf)) {
      throw new Problem(403, 'This link is not one that we made for you. Nothing was changed.');
    }
    await orNotice(req, res, interaction, async () => {
      const target = await federation.begin(interaction.uid, demandsFresh(interaction));
      res.redirect(303, target.href);
    });
  });

  router.get('/:uid/federation/answer', async (req, res) => {
    const interaction = await deps.signingIn(req, res);
    const clientId = String(interaction.params.client_id);
    await orNotice(req, res, interaction, async () => {
      const identity = await federation.complete(interaction.uid, new URLSearchParams(queryOf(req)));
      if (identity === undefined) throw new Problem(400, notOurs);
      const account = await deps.accountOf(identity);
      const { id: accountId, disabled } = account;
      const signIn = { event: 'sign-in', accountId, clientId } as const;
      const detail = { by: identity.issuer };
      if (disabled) {
        logger.info({ clientId, accountId }, 'sign-in refused');
        await audit.record({ ...signIn, outcome: 'failure', detail: { ...detail, reason: 'disabled' } }, req);
        await sendNotice(res, interaction, 403, 'Your account here is disabled. You are not signed in.');
        return;
      }
      logger.info({ clientId, accountId, provider: identity.issuer }, 'signed in');
      await audit.record({ ...signIn, outcome: 'success', detail }, req);
      const now = Math.floor(Date.now() / 1000);
      const ts = Math.min(identity.authenticatedAt ?? now, now);
      const login = { accountId, ts, since: momentOfSignIn(account) };
      await finishSignIn(deps.provider(), interaction, login, { req, res });
    });
  });

  return router;

  function sendNotice(res: Response, interaction: Interaction, status: number, notice: string) {
    return deps.sendLogin(res, interaction, { username: '', refused: false, status, notice });
  }

  async function orNotice(req: Request, res: Response, interaction: Interaction, work: () => Promise<void>) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof FederationError)) throw error;
      const { fault, message: reason } = error;
      const clientId = String(interaction.params.client_id);
      logger.warn({ clientId, fault, reason }, 'no sign-in at the provider');
      const detail = { by: name, reason: fault };
      await audit.record({ event: 'sign-in', outcome: 'failure', clientId, detail }, req);
      const [status, notice] = answers[fault];
      if (status === 503) res.set('Retry-After', '5');
      await sendNotice(res, interaction, status, notice(name));
    }
  }
}

/** The address of the sign-in page's link to the provider. */
export function federationLink(csrfSecret: string | Uint8Array, interactionUid: string): string {
  return `/interaction/${interactionUid}/federation?csrf=${csrfToken(csrfSecret, purpose(interactionUid))}`;
}

// The token of a link is seen in more places than that of a form, and is good for the link alone.
function purpose(interactionUid: string): string {
  return `${interactionUid} federation`;
}

// OpenID Connect Core 1.0, 3.1.2.1: the client wants the credentials asked for now.
function demandsFresh({ params: { prompt, max_age: maxAge } }: Interaction): boolean {
  return maxAge !== undefined || (typeof prompt === 'string' && prompt.split(' ').includes('login'));
}

function queryOf({ originalUrl }: Request): string {
  const at = originalUrl.indexOf('?');
  return at < 0 ? '' : originalUrl.slice(at + 1);
}

const notOurs =
  'This answer belongs to no sign-in that is under way here: it took too long, was used already, or began elsewhere. ' +
  'Please go back to the application and start again.';

const answers: Record<FederationFault, [status: number, notice: (name: string) => string]> = {
  denied: [401, (name) => `${name} did not sign you in. Try again, or sign in another way.`],
  stale: [
    401,
    (name) => `${name} did not ask who you are just now, as the application wants. Sign in another way.`,
  ],
  untrusted: [502, (name) => `The answer of ${name} could not be trusted, so you are not signed in.`],
  unavailable: [
    503,
    (name) => `${name} does not answer at the moment. Try again later, or sign in another way.`,
  ],
};
