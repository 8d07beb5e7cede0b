import { html, nothing, type TemplateResult } from 'lit-html';
import { changed, focusOn } from './changes.ts';
import { newestExchange } from './exchange.ts';
import { current, endGrantOf, everybody, type Identity } from './identities.ts';
import { openSignIn } from './identity-bar.ts';
import { revoke } from './sign-in.ts';
import { callNow } from './views/call.ts';

interface Step {
  title: string;
  text: string;
  button: string;
  act: () => unknown;
  /** Whether what the step asks for has happened. */
  isDone: () => boolean;
}

const remembered = 'explorer-tour';
let step = localStorage.getItem(remembered) === null ? 0 : -1;
let revoked: Identity | undefined;
let hasRead = false;

const read = (path: string) => {
  location.hash = 'call';
  return callNow({ method: 'GET', path, headers: {} });
};
const isAnswered = (status: number) => newestExchange()?.status === status;

const steps: Step[] = [
  {
    title: 'Sign in',
    text: 'Take alice, with the scopes as they are. The explorer gets an access token for five minutes; her password it never sees.',
    button: 'Sign in',
    act: openSignIn,
    isDone: () => everybody().length > 0,
  },
  {
    title: 'Call an API',
    text: 'Her token goes along with GET /orders, through the gateway to the orders service.',
    button: 'Call GET /orders',
    act: () => read('/orders'),
    isDone: () => isAnswered(200),
  },
  {
    title: 'Read the decision',
    text: 'The map shows the way. Below it stands each check: the gateway verified the token, and the service did so again, for it trusts the token and not the network.',
    button: 'I have read it',
    act: () => {
      hasRead = true;
      changed();
    },
    isDone: () => hasRead,
  },
  {
    title: 'Revoke',
    text: 'Now the sign-in is taken back. The access token has not expired, but its grant goes onto the denylist that every process follows.',
    button: 'Revoke',
    act: async () => {
      const identity = current();
      if (!identity) return;
      await revoke(identity.tokens.refreshToken ?? identity.tokens.accessToken);
      endGrantOf(identity.tokens.accessToken, 'Revoked in the tour.');
      revoked = identity;
    },
    isDone: () => revoked !== undefined,
  },
  {
    title: 'Refused',
    text: 'The same call with the same token: 401, some milliseconds later, from the denylist.',
    button: 'Call GET /orders again',
    act: () => read('/orders'),
    isDone: () => revoked !== undefined && isAnswered(401),
  },
];

/** Begins the tour anew. */
export function startTour(): void {
  [step, revoked, hasRead] = [0, undefined, false];
  focusOn('#tour-title');
}

/** Five steps for whoever is here for the first time; nothing once they are done or skipped. */
export function tour(): TemplateResult | typeof nothing {
  const here = steps[step];
  if (!here) return nothing;
  const isDone = here.isDone();
  const isLast = step === steps.length - 1;
  return html`
    <aside class="tour" aria-labelledby="tour-title">
      <h2 id="tour-title" tabindex="-1">${step + 1} of ${steps.length}: ${here.title}</h2>
      <p>${here.text}</p>
      <p role="status">${isDone ? '✓ Done.' : nothing}</p>
      <div class="actions">
        <button type="button" class=${isDone ? 'quiet' : 'primary'} @click=${here.act}>${here.button}</button>
        <button type="button" class=${isDone ? 'primary' : 'quiet'} ?disabled=${!isDone} @click=${next}>
          ${isLast ? 'Finish' : 'Next'}
        </button>
        <button type="button" class="quiet" @click=${finish}>Skip the tour</button>
      </div>
    </aside>
  `;
}

function next(): void {
  if (step === steps.length - 1) {
    finish();
    return;
  }
  step += 1;
  focusOn('#tour-title');
}

function finish(): void {
  step = -1;
  localStorage.setItem(remembered, 'seen');
  focusOn('#view');
}
