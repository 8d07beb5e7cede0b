import { field } from './field.ts';
import { type Html, html } from './html.ts';
import { layout } from './layout.ts';
import { scopeItem } from './scope-item.ts';
import { signedInAs } from './signed-in-as.ts';

interface AccountView {
  account: { username: string; displayName: string; email?: string | undefined };
  /** Without one, the account signs in elsewhere. */
  hasPassword: boolean;
  /** What has just been done. */
  notice: string | undefined;
}

/** Who is signed in, and what there is to do about it. */
export function accountPage({ account, hasPassword, notice }: AccountView): Html {
  return layout(
    'Your account',
    html`<h1>Your account</h1>
<p class="lead">${signedInAs(account)}${
      account.email !== undefined && html`, <bdi>${account.email}</bdi>`
    }.</p>
${noticeBar(notice)}<nav class="actions" aria-label="Your account">
<a class="button" href="/account/applications">Applications with access</a>
${
  hasPassword
    ? html`<a class="button" href="/account/password">Change password</a>`
    : html`<p class="note">You sign in with an account elsewhere, so there is no password to change here.</p>`
}
<a class="button" href="/logout">Sign out</a>
<a class="button" href="/account/sign-out-everywhere">Sign out everywhere</a>
</nav>`,
  );
}

interface PasswordView {
  csrfToken: string;
  username: string;
  faults: Partial<Record<'current' | 'password' | 'again', string>>;
}

/** Asks for the password of today and the one of tomorrow. */
export function passwordPage({ csrfToken, username, faults }: PasswordView): Html {
  const focus = (['current', 'password', 'again'] as const).find((name) => faults[name]);
  const common = (name: 'current' | 'password' | 'again') =>
    ({
      name,
      type: 'password',
      required: true,
      fault: faults[name],
      autofocus: name === (focus ?? 'current'),
    }) as const;
  return layout(
    focus === undefined ? 'Change password' : 'Password not changed: try again',
    html`<h1>Change password</h1>
<p class="lead">Everything else that is signed in to your account will be signed out, applications too.</p>
<form method="post" action="/account/password">
<input type="hidden" name="csrf" value="${csrfToken}">
<input name="username" value="${username}" autocomplete="username" hidden>
${field({ ...common('current'), label: 'Current password', autocomplete: 'current-password' })}
${field({ ...common('password'), label: 'New password', autocomplete: 'new-password', hint: 'At least 8 characters. A few words that nobody would guess are best.' })}
${field({ ...common('again'), label: 'New password, once more', autocomplete: 'new-password' })}
<div class="actions">
<button class="primary">Change password</button>
</div>
</form>
${back}`,
  );
}

interface ApplicationsView {
  csrfToken: string;
  applications: readonly { clientId: string; name: string; scopes: readonly string[]; since: Date }[];
  notice: string | undefined;
}

/** What the account has allowed which application, each with a way to take it back. */
export function applicationsPage({ csrfToken, applications, notice }: ApplicationsView): Html {
  return layout(
    'Applications with access',
    html`<h1>Applications with access</h1>
<p class="lead">${
      applications.length === 0
        ? 'No application has access to your account.'
        : 'What you have allowed. Withdrawing it signs the application out at once.'
    }</p>
${noticeBar(notice)}${applications.map(
  ({ clientId, name, scopes, since }) => html`<section>
<h2><bdi>${name}</bdi></h2>
<p class="hint">since <time datetime="${since.toISOString()}">${day.format(since)}</time></p>
<ul class="scopes">
${scopes.map(scopeItem)}</ul>
<form method="post" action="/account/applications">
<input type="hidden" name="csrf" value="${csrfToken}">
<input type="hidden" name="client" value="${clientId}">
<div class="actions">
<button aria-label="Withdraw the access of ${name}">Withdraw</button>
</div>
</form>
</section>
`,
)}${back}`,
  );
}

/** Asks before everything is signed out. */
export function signOutEverywherePage({ csrfToken }: { csrfToken: string }): Html {
  return layout(
    'Sign out everywhere?',
    html`<h1>Sign out everywhere?</h1>
<p class="lead">Every browser and every application that is signed in to your account will be signed out, this one too.</p>
<form method="post" action="/account/sign-out-everywhere">
<input type="hidden" name="csrf" value="${csrfToken}">
<div class="actions">
<button class="primary" autofocus>Sign out everywhere</button>
</div>
</form>
${back}`,
  );
}

const day = new Intl.DateTimeFormat('en', { dateStyle: 'long', timeZone: 'UTC' });
const back = html`<p class="note"><a href="/account">Back to your account</a></p>`;

function noticeBar(notice: string | undefined): Html | false {
  return notice !== undefined && html`<p class="notice" role="status">${notice}</p>\n`;
}
