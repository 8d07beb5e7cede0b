import { createRouter, type Logger, Problem, requestIdOf, route } from '@gatehouse/service-kit';
import { type Request, type RequestHandler, Router, urlencoded } from 'express';
import type { Provider } from 'oidc-provider';
import { z } from 'zod';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Limits } from '../limits/limits.ts';
import { csrfToken, refuseCrossSite, requireCsrfToken } from '../pages/csrf.ts';
import { formField } from '../pages/form-field.ts';
import { pageForError, sendPage } from '../pages/page-for-error.ts';
import {
  type RegistrationField,
  registeredPage,
  registerPage,
  registrationFields,
} from '../pages/register.ts';
import { browserMark } from '../protocol/browser-session.ts';
import type { AccountStore } from './accounts.ts';
import { type Registration, registrationSchema } from './registration.ts';

interface RegisterDependencies {
  /** Asked for at each use, so that the pages hold no provider of their own. */
  provider: () => Provider;
  issuer: string;
  clients: readonly { client_id: string }[];
  accounts: AccountStore;
  csrfSecret: string | Uint8Array;
  limits: Limits;
  audit: AuditLog;
  logger: Logger;
}

const path = '/register';
const everyRouteIsPublic: RequestHandler = (_req, _res, next) =>
  next(new Error('every route here is public'));

/**
 * Where people and programs ask for an account. Whether the name was taken, no answer tells: neither by what it says nor
 * by how long it takes.
 */
export function registerRouter(deps: RegisterDependencies): RequestHandler {
  const { audit, limits, logger, csrfSecret } = deps;
  const RegistrationSchema = registrationSchema(deps.clients.map(({ client_id: id }) => id));

  async function register(registration: Registration, req: Request): Promise<void> {
    await limits.countRequest('registration', req);
    await deps.accounts.register(registration, async (tx, accountId) => {
      const outcome = accountId === undefined ? 'failure' : 'success';
      await audit.record({ event: 'registration', outcome, accountId }, req, tx);
    });
    logger.info({ requestId: requestIdOf(req) }, 'registration');
  }

  const pages = Router({ caseSensitive: true, strict: true });

  pages.get(path, (req, res) => sendForm(req, res, 200, {}, {}));

  pages.get(`${path}/done`, (req, res) => {
    sendPage(res, 200, registeredPage({ signInHref: signInHref(req), path: path + query(req) }));
  });

  pages.post(path, (req, _res, next) => next(req.is('urlencoded') ? undefined : 'router'));
  pages.post(path, refuseCrossSite(deps.issuer), urlencoded({ extended: false, limit: '64kb' }));
  pages.post(path, async (req, res) => {
    const mark = browserMark(deps.provider(), req, res, path);
    requireCsrfToken(csrfSecret, `register ${mark}`, req);
    const typed = Object.fromEntries(registrationFields.map((name) => [name, formField(req, name)]));
    const { again, ...values } = typed;
    // An empty field is one that was left out.
    const told = Object.entries(values).filter(([name, value]) => value !== '' || name === 'password');
    const parsed = RegistrationSchema.safeParse({ username: '', ...Object.fromEntries(told) });
    const issues = parsed.error?.issues.map(({ path: [name], message }) => [name, message]) ?? [];
    const faults: Partial<Record<RegistrationField, string>> = Object.fromEntries(issues.reverse());
    if (again !== values.password) faults.again = 'This is not the same password.';
    if (!parsed.success || Object.keys(faults).length > 0) return sendForm(req, res, 422, typed, faults);
    await register(parsed.data, req);
    res.redirect(303, `${path}/done${query(req)}`);
  });

  pages.use(pageForError(logger));

  const api = createRouter(
    [
      route('post', path, {
        public: true,
        summary: 'Ask for an account; the answer does not tell whether the name was taken',
        body: RegistrationSchema,
        responses: { 202: z.object({ message: z.string() }) },
        handler: async ({ body, req }) => {
          await register(body, req);
          const message = 'If the username was free, the account is ready: sign in.';
          return { status: 202, body: { message } };
        },
      }),
    ],
    Object.assign(everyRouteIsPublic, { isLive: () => false }),
  );

  return Router({ caseSensitive: true, strict: true })
    .use(pages)
    .all(path, (req, _res, next) => {
      if (req.method === 'POST') return next();
      throw new Problem(405, undefined, { headers: { Allow: 'GET, HEAD, POST' } });
    })
    .use(api);

  function sendForm(
    req: Request,
    res: Parameters<RequestHandler>[1],
    status: number,
    values: Partial<Record<RegistrationField, string>>,
    faults: Partial<Record<RegistrationField, string>>,
  ) {
    const mark = browserMark(deps.provider(), req, res, path);
    const token = csrfToken(csrfSecret, `register ${mark}`);
    const page = registerPage({
      csrfToken: token,
      path: path + query(req),
      signInHref: signInHref(req),
      values,
      faults,
    });
    sendPage(res, status, page);
  }
}

/** The address of the form, which leads back to this interaction. */
export function registerHref(interactionUid: string): string {
  return `${path}?interaction=${interactionUid}`;
}

// The address tells which sign-in it came from; it leads nowhere else, whatever it says.
function interactionOf({ query: { interaction } }: Request): string | undefined {
  return typeof interaction === 'string' && /^[\w-]{1,64}$/.test(interaction) ? interaction : undefined;
}

function query(req: Request): string {
  const interaction = interactionOf(req);
  return interaction === undefined ? '' : `?interaction=${interaction}`;
}

function signInHref(req: Request): string {
  const interaction = interactionOf(req);
  return interaction === undefined ? '/account' : `/interaction/${interaction}`;
}
