import { html, nothing, type TemplateResult } from 'lit-html';
import { changed } from '../changes.ts';
import { type Claims, decodeClaims, decodeHeader, meaningOf, wordsOf } from '../claims.ts';
import { type Call, type Exchange, send } from '../exchange.ts';
import { current, type Identity, renewNow } from '../identities.ts';
import { openSignIn } from '../identity-bar.ts';
import { api } from '../openapi.ts';
import { refusalIn } from '../server-timing.ts';
import { authorizationServer } from '../sign-in.ts';

const audience = 'urn:gatehouse:api';
let verdict: { token: string; words: string; isGood: boolean | undefined } | undefined;
let asked: { token: string; answers: Exchange[] } | undefined;

// The time that is left is drawn as long as somebody looks at it.
setInterval(() => {
  if (location.hash === '#token' && current()) changed();
}, 1000);

/** What is in a token, what it means, and what everybody says to it. */
export function tokenView(): TemplateResult {
  const identity = current();
  if (!identity)
    return html`<h1>Token</h1>
      <p class="lead">Nobody is signed in, so there is no token to look into.</p>
      <p><button type="button" class="primary" @click=${openSignIn}>Sign in</button></p>`;
  const { accessToken, idToken, refreshToken, expiresAt } = identity.tokens;
  const leftSeconds = Math.max(0, Math.round((expiresAt - Date.now()) / 1000));
  if (verdict?.token !== accessToken) void verify(accessToken);
  return html`
    <h1>The tokens of ${identity.name}</h1>
    <section aria-labelledby="access-title">
      <h2 id="access-title">Access token</h2>
      <p>
        <strong class="left" aria-label="${leftSeconds} seconds left">${Math.floor(leftSeconds / 60)}:${String(leftSeconds % 60).padStart(2, '0')}</strong>
        left${
          refreshToken === undefined || identity.ended !== undefined
            ? '.'
            : html`; it is renewed a minute before its end, by a refresh token that is good once.
              <button type="button" class="quiet" @click=${() => renewNow(identity)}>Renew now</button>`
        }
      </p>
      <p class="fault" role="alert">${identity.ended}</p>
      <p role="status">
        ${verdict?.isGood === undefined ? nothing : verdict.isGood ? '✓ ' : '✗ '}${verdict?.words}
      </p>
      <pre class="token" tabindex="0" aria-label="The access token as it is sent">${accessToken}</pre>
      ${partTable('Header', decodeHeader(accessToken))} ${partTable('Claims', decodeClaims(accessToken))}
    </section>
    <section aria-labelledby="services-title">
      <h2 id="services-title">What each service says to it</h2>
      <p><button type="button" class="primary" @click=${() => ask(identity)}>Ask all of them</button></p>
      <div role="status">${asked?.token === accessToken ? answersTable(asked.answers) : nothing}</div>
    </section>
    <section aria-labelledby="id-title">
      <h2 id="id-title">ID token</h2>
      <p>It tells this page who has signed in, and is for this page alone: no API takes it.</p>
      ${partTable('Header', decodeHeader(idToken))} ${partTable('Claims', decodeClaims(idToken))}
    </section>
  `;
}

function partTable(caption: string, part: Claims): TemplateResult {
  return html`
    <table class="claims">
      <caption>${caption}</caption>
      <thead><tr><th scope="col">Name</th><th scope="col">Value</th><th scope="col">Meaning</th></tr></thead>
      <tbody>
        ${Object.entries(part).map(
          ([name, value]) => html`<tr>
            <th scope="row">${name}</th>
            <td><code>${wordsOf(name, value)}</code></td>
            <td>${meaningOf(name)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  `;
}

function answersTable(answers: readonly Exchange[]): TemplateResult {
  return html`
    <table class="checks">
      <caption>The answers</caption>
      <thead><tr><th scope="col">Call</th><th scope="col">Status</th><th scope="col">Decided by</th></tr></thead>
      <tbody>
        ${answers.map(({ path, status, checks }) => {
          const refusal = refusalIn(checks, status);
          return html`<tr class=${refusal ? 'refused' : nothing}>
            <td>GET ${path}</td>
            <td>${status < 400 ? '✓' : '✗'} ${status}</td>
            <td>${refusal ? `${refusal.hop}, ${refusal.name}: ${refusal.verdict}` : 'every check passed'}</td>
          </tr>`;
        })}
      </tbody>
    </table>
  `;
}

/** A call of each service that only reads: the first one that its document has. */
function probes(): Call[] {
  const { operations, services } = api();
  const reading = operations.filter(({ method }) => method === 'GET');
  return [...services.keys()].flatMap(
    (service) => reading.find((operation) => operation.service === service)?.example ?? [],
  );
}

async function ask(identity: Identity): Promise<void> {
  const token = identity.tokens.accessToken;
  const answers: Exchange[] = [];
  for (const probe of probes()) answers.push(await send(probe, identity));
  asked = { token, answers };
  changed();
}

/** Verifies the signature as every process here does it, against the keys that are published now. */
async function verify(token: string): Promise<void> {
  verdict = { token, isGood: undefined, words: 'Being verified…' };
  try {
    const { createRemoteJWKSet, jwtVerify } = await import('jose');
    const { jwks_uri, issuer } = await authorizationServer();
    const keys = createRemoteJWKSet(new URL(String(jwks_uri)));
    await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt', algorithms: ['ES256'] });
    verdict = { token, isGood: true, words: 'Verified here, against the published keys.' };
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    verdict = { token, isGood: false, words: `Not good: ${words}.` };
  }
  changed();
}
