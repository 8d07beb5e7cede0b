import { html, nothing, type TemplateResult } from 'lit-html';
import { changed } from '../changes.ts';
import { type Call, newestExchange, send } from '../exchange.ts';
import { current } from '../identities.ts';
import { checksTable, map } from '../map.ts';
import { api } from '../openapi.ts';

const draft: Call & { operationId: string } = {
  operationId: '',
  method: 'GET',
  path: '/users/me',
  headers: {},
  body: undefined,
};
let fault = '';

/** Sends a call as whoever is chosen, and shows it in this view. */
export async function callNow(call: Call): Promise<void> {
  Object.assign(draft, { body: undefined }, call, {
    operationId:
      api().operations.find(({ method, path }) => method === call.method && path === call.path)?.id ?? '',
  });
  fault = '';
  try {
    await send(call, current());
  } catch (error) {
    fault = `No answer: ${error instanceof Error ? error.message : error}`;
  }
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
            <div role="status"><h3>${exchange.status} after ${exchange.tookMs.toFixed(0)} ms</h3></div>
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
  const headers = Object.entries(draft.headers).map(([name, value]) => `${name}: ${value}`);
  return html`
    <form class="call" @submit=${submit}>
      <label for="operation">Route</label>
      <select id="operation" @change=${choose}>
        <option value="">One of your own</option>
        ${options}
      </select>
      <div class="line">
        <label for="method">Method</label>
        <select id="method" name="method" .value=${draft.method}>
          ${['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map((method) => html`<option ?selected=${method === draft.method}>${method}</option>`)}
        </select>
        <label for="path">Path</label>
        <input id="path" name="path" .value=${draft.path} required pattern="/.*" spellcheck="false" autocomplete="off" />
      </div>
      <label for="headers">Headers, one a line</label>
      <textarea id="headers" name="headers" rows="2" spellcheck="false" .value=${headers.join('\n')}></textarea>
      <label for="body">Body</label>
      <textarea id="body" name="body" rows=${draft.body ? 8 : 2} spellcheck="false" .value=${draft.body ?? ''}></textarea>
      <button class="primary">Send as ${current()?.name ?? 'nobody'}</button>
    </form>
  `;
}

function choose(event: Event): void {
  const operation = api().operations.find(
    ({ id }) => id === (event.currentTarget as HTMLSelectElement).value,
  );
  draft.operationId = operation?.id ?? '';
  if (operation) Object.assign(draft, operation.example);
  changed();
}

async function submit(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const fields = new FormData(event.currentTarget as HTMLFormElement);
  const text = (name: string) => String(fields.get(name) ?? '');
  const lines = text('headers')
    .split('\n')
    .filter((line) => line.includes(':'));
  const headers = lines.map((line): [string, string] => [
    line.slice(0, line.indexOf(':')).trim(),
    line.slice(line.indexOf(':') + 1).trim(),
  ]);
  await callNow({
    method: text('method'),
    path: text('path'),
    headers: Object.fromEntries(headers),
    body: text('body') === '' ? undefined : text('body'),
  });
}

function pretty(text: string): string | typeof nothing {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text || nothing;
  }
}
