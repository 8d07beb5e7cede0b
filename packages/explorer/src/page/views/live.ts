import { html, nothing, type TemplateResult } from 'lit-html';
import { changed, keepFocus } from '../changes.ts';
import { decodeClaims } from '../claims.ts';
import { followEvents, type StreamedEvent } from '../event-stream.ts';
import { bodyOf, send } from '../exchange.ts';
import { current, type Identity, renewNow } from '../identities.ts';
import { openSignIn } from '../identity-bar.ts';

interface Key {
  kid: string;
  stage: string;
  signsFrom: string;
}

interface Denylist {
  size: number;
  items: { kind: 'jti' | 'gid' | 'sub'; value: string; expiresAt: string }[];
}

interface AuditEntry {
  id: string;
  at: string;
  event: string;
  outcome: string;
  accountId: string | null;
  clientId: string | null;
}

interface Grant {
  clientId: string;
  scopes: string[];
}

const kinds = { jti: 'a token', gid: 'a grant', sub: 'an account' };
const mostShown = 50;
const noLive = { keys: [] as Key[], denylist: undefined as Denylist | undefined, audit: [] as AuditEntry[] };

let live = { ...noLive };
let followed: { identity: Identity; leaving: AbortController } | undefined;
let users: { id: string; username: string }[] = [];
let grants: { of: string; items: Grant[] } | undefined;
let said = '';
let isBroken = false;

// Nobody is streamed to who looks at something else.
window.addEventListener('hashchange', () => {
  if (location.hash !== '#live') unfollow();
});

/** What moves in the system, for an admin, as it moves. */
export function liveView(): TemplateResult {
  const identity = current();
  const isAdmin = identity !== undefined && identity.ended === undefined && mayAdminister(identity);
  if (followed !== undefined && followed.identity !== identity) unfollow();
  if (!isAdmin)
    return html`<h1>Live</h1>
      <p class="lead">
        Signing keys, denylist, grants and audit log are for an admin: sign in as <code>admin</code>, with the scope
        <code>users:admin</code>.
      </p>
      <p><button type="button" class="primary" @click=${openSignIn}>Sign in</button></p>`;
  if (followed === undefined) void follow(identity);
  return html`
    <h1>Live</h1>
    <p class="lead">As it is now, and each change as it comes.</p>
    <p class="fault" role="alert">${isBroken ? 'There is no answer right now. What stands here may be old; it is asked for again.' : ''}</p>
    <p role="status">${said}</p>
    ${keysSection(identity)} ${denylistSection()} ${grantsSection(identity)} ${auditSection()}
  `;
}

function mayAdminister({ tokens }: Identity): boolean {
  const { roles } = decodeClaims(tokens.accessToken);
  return tokens.scope.split(' ').includes('users:admin') && Array.isArray(roles) && roles.includes('admin');
}

function keysSection(identity: Identity): TemplateResult {
  return html`
    <section aria-labelledby="keys-title">
      <h2 id="keys-title">Signing keys</h2>
      <table>
        <caption>A key is published before it signs, so that everybody knows it by then</caption>
        <thead><tr><th scope="col">Key</th><th scope="col">Stage</th><th scope="col">Signs from</th></tr></thead>
        <tbody>
          ${live.keys.map(
            ({ kid, stage, signsFrom }) =>
              html`<tr><td><code>${kid}</code></td><td>${stage}</td><td>${timeOf(signsFrom)}</td></tr>`,
          )}
        </tbody>
      </table>
      <button type="button" @click=${() => act(identity, 'POST', '/admin/keys/rotate', 'A new key is published.')}>
        Rotate
      </button>
    </section>
  `;
}

function denylistSection(): TemplateResult {
  const { size = '…', items = [] } = live.denylist ?? {};
  return html`
    <section aria-labelledby="denylist-title">
      <h2 id="denylist-title">Denylist</h2>
      <table>
        <caption>${size} entries; each goes when the last token that it is about has expired</caption>
        <thead><tr><th scope="col">Revoked</th><th scope="col">Id</th><th scope="col">Goes at</th></tr></thead>
        <tbody>
          ${items
            .slice(0, mostShown)
            .map(
              ({ kind, value, expiresAt }) =>
                html`<tr><td>${kinds[kind]}</td><td><code>${value}</code></td><td>${timeOf(expiresAt)}</td></tr>`,
            )}
        </tbody>
      </table>
    </section>
  `;
}

function grantsSection(identity: Identity): TemplateResult {
  const choose = (event: Event) => showGrants(identity, (event.currentTarget as HTMLSelectElement).value);
  return html`
    <section aria-labelledby="grants-title">
      <h2 id="grants-title">Grants</h2>
      <label for="account">Account</label>
      <select id="account" @change=${choose}>
        <option value="">Choose one</option>
        ${users.map(({ id, username }) => html`<option value=${id} ?selected=${id === grants?.of}>${username}</option>`)}
      </select>
      ${grants ? grantsTable(identity, grants) : nothing}
    </section>
  `;
}

function grantsTable(
  identity: Identity,
  { of, items }: { of: string; items: readonly Grant[] },
): TemplateResult {
  if (items.length === 0) return html`<p class="note">This account has allowed nothing to anybody.</p>`;
  const revoke = async (clientId: string) => {
    await act(
      identity,
      'DELETE',
      `/admin/accounts/${of}/grants/${clientId}`,
      `What ${clientId} was allowed is over.`,
    );
    await showGrants(identity, of);
    keepFocus('#account');
  };
  return html`
    <table>
      <caption>What the account has allowed</caption>
      <thead><tr><th scope="col">Application</th><th scope="col">Scopes</th><th scope="col">End it</th></tr></thead>
      <tbody>
        ${items.map(
          ({ clientId, scopes }) => html`<tr>
            <td>${clientId}</td>
            <td>${scopes.join(' ')}</td>
            <td><button type="button" aria-label="Revoke ${clientId}" @click=${() => revoke(clientId)}>Revoke</button></td>
          </tr>`,
        )}
      </tbody>
    </table>
  `;
}

function auditSection(): TemplateResult {
  return html`
    <section aria-labelledby="audit-title">
      <h2 id="audit-title">Audit log</h2>
      <table class="audit">
        <caption>The newest first</caption>
        <thead><tr><th scope="col">At</th><th scope="col">What</th><th scope="col">Client</th><th scope="col">Account</th></tr></thead>
        <tbody>
          ${live.audit.map(
            ({
              at,
              event,
              outcome,
              clientId,
              accountId,
            }) => html`<tr class=${outcome === 'failure' ? 'refused' : nothing}>
              <td>${timeOf(at)}</td>
              <td>${outcome === 'failure' ? '✗ ' : nothing}${event}</td>
              <td>${clientId}</td>
              <td>${users.find(({ id }) => id === accountId)?.username ?? accountId}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </section>
  `;
}

const timeOf = (moment: string) => new Date(moment).toLocaleTimeString();

function unfollow(): void {
  followed?.leaving.abort();
  followed = undefined;
  grants = undefined;
  said = '';
  isBroken = false;
}

async function follow(identity: Identity): Promise<void> {
  const leaving = new AbortController();
  followed = { identity, leaving };
  live = { ...noLive };
  const tell = (broken: boolean) => {
    if (followed?.leaving === leaving) isBroken = broken;
    changed();
  };
  const follower = {
    token: () => (identity.ended === undefined ? identity.tokens.accessToken : undefined),
    refused: () => renewNow(identity),
    opened: async () => {
      await readBegun(identity);
      tell(false);
    },
    event: take,
    broken: () => tell(true),
  };
  const end = await followEvents('/admin/events', follower, leaving.signal);
  if (end !== '') said = end;
  changed();
}

/** What the stream does not tell: what was before it, and who has which id. */
async function readBegun(identity: Identity): Promise<void> {
  const read = async (path: string) => bodyOf(await send({ method: 'GET', path, headers: {} }, identity));
  const [tail, accounts] = (await Promise.all([read('/admin/audit'), read('/users?limit=100')])) as [
    { items?: AuditEntry[] } | undefined,
    { items?: typeof users } | undefined,
  ];
  users = accounts?.items ?? users;
  live.audit = (tail?.items ?? live.audit).slice(0, mostShown);
}

function take({ event, data }: StreamedEvent): void {
  if (event === 'keys') live.keys = data as Key[];
  if (event === 'denylist') live.denylist = data as Denylist;
  if (event === 'audit') {
    const entry = data as AuditEntry;
    const others = live.audit.filter(({ id }) => id !== entry.id);
    live.audit = [entry, ...others].slice(0, mostShown);
  }
  changed();
}

async function showGrants(identity: Identity, of: string): Promise<void> {
  if (of === '') return;
  const path = `/admin/accounts/${of}/grants`;
  const body = bodyOf(await send({ method: 'GET', path, headers: {} }, identity)) as
    | { items?: Grant[] }
    | undefined;
  grants = { of, items: body?.items ?? [] };
  changed();
}

async function act(identity: Identity, method: string, path: string, done: string): Promise<void> {
  const { status } = await send({ method, path, headers: {} }, identity);
  said = status < 400 ? done : `The answer was ${status}.`;
  changed();
}
