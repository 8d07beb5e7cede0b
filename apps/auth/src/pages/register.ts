import { field } from './field.ts';
import { type Html, html } from './html.ts';
import { layout } from './layout.ts';

/** The fields of the form, as they are called in it. */
export const registrationFields = ['username', 'displayName', 'email', 'password', 'again'] as const;
export type RegistrationField = (typeof registrationFields)[number];

interface RegisterView {
  csrfToken: string;
  /** Where the form is, and where it is sent to. */
  path: string;
  signInHref: string;
  values: Partial<Record<RegistrationField, string>>;
  faults: Partial<Record<RegistrationField, string>>;
}

/** The form that asks for an account. What was typed stays, but for the password. */
export function registerPage({ csrfToken, path, signInHref, values, faults }: RegisterView): Html {
  const firstFault = registrationFields.find((name) => faults[name] !== undefined);
  const common = (name: RegistrationField) => ({
    name,
    fault: faults[name],
    autofocus: name === (firstFault ?? 'username'),
  });
  return layout(
    firstFault === undefined ? 'Create an account' : 'No account yet: try again',
    html`<h1>Create an account</h1>
<p class="lead">You have one already? <a href="${signInHref}">Sign in</a></p>
<form method="post" action="${path}">
<input type="hidden" name="csrf" value="${csrfToken}">
${field({ ...common('username'), label: 'Username', value: values.username ?? '', autocomplete: 'username', required: true })}
${field({ ...common('displayName'), label: 'Your name (optional)', value: values.displayName ?? '', autocomplete: 'name' })}
${field({ ...common('email'), label: 'E-mail address (optional)', type: 'email', value: values.email ?? '', autocomplete: 'email' })}
${field({ ...common('password'), label: 'Password', type: 'password', autocomplete: 'new-password', required: true, hint: 'At least 8 characters. A few words that nobody would guess are best.' })}
${field({ ...common('again'), label: 'Password, once more', type: 'password', autocomplete: 'new-password', required: true })}
<div class="actions">
<button class="primary">Create account</button>
</div>
</form>`,
  );
}

/** Follows every registration, and tells nobody whether the name was taken. */
export function registeredPage({ signInHref, path }: Pick<RegisterView, 'signInHref' | 'path'>): Html {
  return layout(
    'Sign in now',
    html`<h1>Now sign in</h1>
<p class="lead" role="status">If the username was free, your account is ready. If signing in does not work, somebody else has that name: please <a href="${path}">choose another one</a>.</p>
<a class="button" href="${signInHref}">Sign in</a>`,
  );
}
