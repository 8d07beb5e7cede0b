import { type Html, html } from './html.ts';
import { layout } from './layout.ts';

interface LoginView {
  /** The path of the interaction, below which the forms post. */
  path: string;
  csrfToken: string;
  clientName: string;
  username: string;
  /** The credentials just sent were not right. */
  refused: boolean;
  /** What went wrong when another way was tried. */
  notice?: string | undefined;
  /** The other way to sign in, when there is one. */
  elsewhere?: { name: string; href: string } | undefined;
  /** Who is signed in already, where the client lets people choose. */
  signedIn?: { displayName: string } | undefined;
  /** Where an account can be had, if anywhere. */
  registration?: string | undefined;
}

/** The sign-in form; after a refusal it says so without telling which of the two fields was wrong. */
export function loginPage(view: LoginView): Html {
  const { path, csrfToken, clientName, username, refused, notice, elsewhere, registration, signedIn } = view;
  const fault = refused && html` aria-invalid="true" aria-describedby="fault"`;
  const focus = html` autofocus`;
  return layout(
    refused || notice ? 'Not signed in: try again' : 'Sign in',
    html`<h1>Sign in</h1>
<p class="lead">to continue to <strong><bdi>${clientName}</bdi></strong></p>
${refused && html`<p class="fault" id="fault" role="alert">That username and password do not match. Please try again.</p>`}
${notice !== undefined && html`<p class="fault" role="alert">${notice}</p>`}
${
  signedIn &&
  html`<form method="post" action="${path}/continue">
<input type="hidden" name="csrf" value="${csrfToken}">
<button class="primary">Continue as <bdi>${signedIn.displayName}</bdi></button>
</form>
<p class="or">or with another account</p>
`
}<form method="post" action="${path}">
<input type="hidden" name="csrf" value="${csrfToken}">
<label for="username">Username</label>
<input id="username" name="username" value="${username}" autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck="false" required${fault}${username === '' && focus}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${fault}${username !== '' && focus}>
<div class="actions">
<button class="primary">Sign in</button>
<button class="quiet" formaction="${path}/abort" formnovalidate>Cancel</button>
</div>
</form>
${
  elsewhere &&
  html`<p class="or">or</p>
<a class="button" href="${elsewhere.href}">Continue with <bdi>${elsewhere.name}</bdi></a>`
}${registration !== undefined && html`\n<p class="note">New here? <a href="${registration}">Create an account</a></p>`}`,
  );
}
