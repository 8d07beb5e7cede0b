import { html, nothing, type TemplateResult } from 'lit-html';
import { changed } from '../changes.ts';
import { type Call, newestExchange, send, statusOf, Unsendable } from '../exchange.ts';
import { current } from '../identities.ts';
import { checksTable, map } from '../map.ts';
import { api } from '../openapi.ts';

/** What stands in the form. */
let draft = { operationId: '', method: 'GET', path: '/users/me', headers: '', body: '' };
let fault = '';
let sending = 0;

/** Sends a call as whoever is chosen, and shows it in this view. */
export async function callNow(call: Call): Promise<void> {
  const operation = api().operations.find(({ method, path }) => method === call.method && path === call.path);
  draft = draftOf(call, operation?.id);
  await sendNow(call);
}

async function sendNow(call: Call): Promise<void> {
  fault = '';
  sending += 1;
  changed();
  try {
    await send(call, current());
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    fault = error instanceof Unsendable ? words : `No answer: ${words}`;
  }
  sending -= 1;
  changed();
}

/** Every route of the system, called as anybody, and the way that the call took. */
export function callView(): TemplateResult {
  const exchange = newestExchange();
  return html`
    <h1>Call a route</h1>
    ${form()}
    <p class="fault" role="alert">${fault || api().fault}</p>
    <section aria-labelledby="answer-title">
      <h2 id="answer-title">What happened</h2>
      ${map(exchange)}
      ${
        exchange
          ? html`${checksTable(exchange)}
            <div role="status"><h3>${statusOf(exchange)} after ${exchange.tookMs.toFixed(0)} ms</h3></div>
            <details>
              <summary>Headers of the answer</summary>
              <pre tabindex="0">${exchange.answerHeaders.map(([name, value]) => `${name}: ${value}`).join('\n')}</pre>
            </details>
            <pre class="body" tabindex="0" aria-label="Body of the answer">${pretty(exchange.text)}</pre>`
          : html`<p class="note">Nothing was sent yet.</p>`
      }
    </section>
  `;
}

function form(): TemplateResult {
  const options = api().operations.map(
    ({ id, method, path, summary, scopes }) =>
      html`<option value=${id} ?selected=${id === draft.operationId}>${method} ${path} · ${summary}${scopes.length > 0 ? ` (${scopes.join(' ')})` : ''}</option>`,
  );
  return html`
    <form class="call" @input=${edit} @submit=${submit}>
      <label for="operation">Route</label>
      <select id="operation" @input=${choose}>
        <option value="">One of your own</option>
        ${options}
      </select>
      <div class="line">
        <label for="method">Method</label>
        <select id="method" name="method" .value=${draft.method}>
          ${['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map((method) => html`<option ?selected=${method === draft.method}>${method}</option>`)}
        </select>
        <label for="path">Path</label>
        <input id="path" name="path" .value=${draft.path} required pattern="/.*" title="It begins with a slash." spellcheck="false" autocomplete="off" />
      </div>
      <label for="headers">Headers, one a line</label>
      <textarea id="headers" name="headers" rows="2" spellcheck="false" .value=${draft.headers}></textarea>
      <label for="body">Body</label>
      <textarea id="body" name="body" rows=${draft.body ? 8 : 2} spellcheck="false" .value=${draft.body}></textarea>
      <button class="primary">${sending > 0 ? 'Sending…' : `Send as ${current()?.name ?? 'nobody'}`}</button>
    </form>
  `;
}

function draftOf({ method, path, headers, body = '' }: Call, operationId = ''): typeof draft {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return { operationId, method, path, headers: lines.join('\n'), body };
}

function choose(event: Event): void {
  event.stopPropagation();
  const { value } = event.currentTarget as HTMLSelectElement;
  const operation = api().operations.find(({ id }) => id === value);
  draft = operation ? draftOf(operation.example, value) : { ...draft, operationId: '' };
  changed();
}

function edit({ currentTarget }: Event): void {
  const fields = new FormData(currentTarget as HTMLFormElement);
  draft = { ...draft, ...Object.fromEntries([...fields].map(([name, value]) => [name, String(value)])) };
  changed();
}

async function submit(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const { method, path, headers, body } = draft;
  const lines = headers.split('\n').filter((line) => line.trim() !== '');
  const odd = lines.find((line) => !line.includes(':'));
  if (odd !== undefined) {
    fault = `This cannot be sent: there is no colon in the header ${odd}`;
    return changed();
  }
  const pairs = lines.map((line): [string, string] => [
    line.slice(0, line.indexOf(':')).trim(),
    line.slice(line.indexOf(':') + 1).trim(),
  ]);
  await sendNow({ method, path, headers: Object.fromEntries(pairs), body: body === '' ? undefined : body });
}

function pretty(text: string): string | typeof nothing {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text || nothing;
  }
}
