import { html, nothing, type TemplateResult } from 'lit-html';
import { changed, focusOn, keepFocus } from './changes.ts';
import { add, choose, current, everybody, type Identity, remove } from './identities.ts';
import { type Api, api } from './openapi.ts';

let isOpen = false;
let waiting: AbortController | undefined;
let fault = '';

/** Opens the form of the sign-in, for whoever comes from elsewhere on the page. */
export function openSignIn(): void {
  isOpen = true;
  focusOn('#sign-in-form input');
}

/** Who calls: everybody who is signed in, nobody, and the way to sign in. */
export function identityBar(): TemplateResult {
  const nobody = current() === undefined;
  const known = api();
  return html`
    <section class="identities" aria-labelledby="identities-title">
      <h2 id="identities-title">Calling as</h2>
      <ul>
        <li>
          <button type="button" aria-pressed=${nobody} @click=${() => choose(undefined)}>nobody</button>
        </li>
        ${everybody().map(identityItem)}
        <li>
          <button type="button" class="quiet" id="sign-in" aria-expanded=${isOpen} aria-controls="sign-in-form" @click=${toggle}>
            + Sign in
          </button>
        </li>
      </ul>
      ${current()?.ended === undefined ? nothing : html`<p class="note">${current()?.ended} Sign in again to go on.</p>`}
      ${isOpen ? signInForm(known) : nothing}
      <p class="fault" role="alert">${fault}</p>
    </section>
  `;
}

function identityItem(identity: Identity): TemplateResult {
  const { name, ended } = identity;
  const signOut = async () => {
    await attempt(() => remove(identity));
    keepFocus('.identities [aria-pressed="true"]');
  };
  return html`<li class="identity">
    <button type="button" aria-pressed=${current() === identity} @click=${() => choose(identity)}>
      ${name}${ended === undefined ? nothing : ' (ended)'}
    </button>
    <button type="button" class="quiet" aria-label="Sign out ${name}" @click=${signOut}>Sign out</button>
  </li>`;
}

function signInForm({ scopes, fault }: Api): TemplateResult {
  const choices = scopes.map(
    (scope) =>
      html`<label><input type="checkbox" name="scope" value=${scope} ?checked=${isProposed(scope)} />${scope}</label>`,
  );
  const isLoading = scopes.length === 0 && fault === undefined;
  return html`
    <form id="sign-in-form" @submit=${submit}>
      <fieldset>
        <legend>What the explorer may do</legend>
        ${choices} ${fault}
      </fieldset>
      <p>
        A window of the authorization server opens. In the demo sign in as
        <code>alice</code>, <code>bob</code> or <code>johndoe</code>, or as <code>admin</code> with
        <code>users:admin</code>. The passwords are <code>alice-demo-pass</code> and so on; that of johndoe is <code>secret</code>.
      </p>
      <button class="primary" ?disabled=${waiting !== undefined || isLoading}>${waiting ? 'Waiting for the window…' : 'Sign in'}</button>
      <button type="button" class="quiet" @click=${cancel}>Cancel</button>
    </form>
  `;
}

// What reads, and one that writes: the others are there to be missing.
const isProposed = (scope: string) => scope.endsWith(':read') || scope === 'orders:write';

function toggle(): void {
  isOpen = !isOpen;
  fault = '';
  changed();
}

function cancel(): void {
  waiting?.abort();
  toggle();
  focusOn('#sign-in');
}

async function submit(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const asked = new FormData(event.currentTarget as HTMLFormElement).getAll('scope').map(String);
  const leaving = new AbortController();
  waiting = leaving;
  await attempt(async () => {
    await add(asked, leaving.signal);
    isOpen = false;
  });
  // Who has cancelled may have begun anew meanwhile.
  if (waiting === leaving) waiting = undefined;
  changed();
  keepFocus(isOpen ? '#sign-in-form .primary' : '.identities [aria-pressed="true"]');
}

async function attempt(work: () => Promise<void>): Promise<void> {
  fault = '';
  changed();
  try {
    await work();
  } catch (error) {
    fault = error instanceof Error ? error.message : String(error);
  }
  changed();
}
