import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import { type Form, readForms } from './forms.ts';

/** What the server answered, after the redirects that were followed. */
export interface Page {
  url: string;
  status: number;
  headers: Headers;
  text: string;
  /** Where a redirect leads that was not followed: to another origin, which is the client's callback. */
  redirect: string | undefined;
  forms: readonly Form[];
}

export interface Cookie {
  name: string;
  value: string;
  host: string;
  path: string;
  /** Attributes as they were sent, names in lower case. */
  attributes: Readonly<Record<string, string>>;
}

interface SendOptions {
  headers?: Record<string, string>;
  /** Follow redirects within the origin; the default. */
  follow?: boolean;
}

interface SubmitOptions extends SendOptions {
  /** The text of the button to press; without it, the form is sent as the Enter key sends it. */
  button?: string;
  /** Which form of the page, the first by default. */
  form?: number;
}

export interface Browser {
  open(url: string, options?: SendOptions): Promise<Page>;
  /** Fills in the form and sends it, with the headers by which a browser tells who sends. */
  submit(page: Page, fields?: Record<string, string>, options?: SubmitOptions): Promise<Page>;
  /** A request that no form makes, with the cookies of this browser. */
  send(url: string, body: string, options?: SendOptions): Promise<Page>;
  readonly cookies: Cookie[];
}

const longestChain = 10;
const answerWithinMs = 10_000;

/**
 * A browser without JavaScript: keeps cookies, follows redirects within an origin, reads forms and sends them.
 * @param connectTo where an origin's server really listens, as curl's `--connect-to`:
 * `{ 'http://localhost:8080': 'http://127.0.0.1:41234' }`
 */
export function createBrowser({ connectTo = {} }: { connectTo?: Record<string, string> } = {}): Browser {
  const cookies: Cookie[] = [];

  async function visit(
    method: string,
    url: string,
    body: string | undefined,
    options: SendOptions,
  ): Promise<Page> {
    let page = await exchange(method, url, body, options.headers);
    for (let count = 0; options.follow !== false && page.redirect !== undefined; count += 1) {
      if (count === longestChain) throw new Error(`${url} redirects without end`);
      if (new URL(page.redirect).origin !== new URL(url).origin) break;
      const keepsMethod = page.status === 307 || page.status === 308;
      page = await exchange(keepsMethod ? method : 'GET', page.redirect, keepsMethod ? body : undefined, {});
    }
    return page;
  }

  async function exchange(
    method: string,
    url: string,
    body: string | undefined,
    extra: Record<string, string> = {},
  ) {
    const target = new URL(url);
    const headers: Record<string, string> = { host: target.host, accept: 'text/html,*/*;q=0.8' };
    const cookie = cookiesFor(target).map(({ name, value }) => `${name}=${value}`);
    if (cookie.length > 0) headers.cookie = cookie.join('; ');
    if (body !== undefined) {
      headers['content-type'] = 'application/x-www-form-urlencoded';
      headers['content-length'] = String(Buffer.byteLength(body));
    }
    const server = connectTo[target.origin];
    const socket = server === undefined ? target : new URL(server);
    const answer = await roundTrip(
      socket,
      `${target.pathname}${target.search}`,
      method,
      { ...headers, ...extra },
      body,
    );
    for (const line of answer.headers.getSetCookie()) keep(line, target);
    const location = answer.headers.get('location');
    return {
      ...answer,
      url: target.href,
      redirect: answer.status >= 300 && location !== null ? new URL(location, target).href : undefined,
      forms: readForms(answer.text, target),
    };
  }

  // RFC 6265, 5.4.
  function cookiesFor({ hostname, pathname, protocol }: URL): Cookie[] {
    const isSafe = protocol === 'https:' || hostname === 'localhost' || hostname === '127.0.0.1';
    return cookies
      .filter((cookie) => cookie.host === hostname && coversPath(cookie.path, pathname))
      .filter((cookie) => isSafe || !('secure' in cookie.attributes))
      .sort((one, other) => other.path.length - one.path.length);
  }

  // RFC 6265, 5.3.
  function keep(line: string, { hostname, pathname }: URL): void {
    const [pair = '', ...rest] = line.split(/;\s*/);
    const [name, value] = splitOnce(pair, '=');
    const attributes = Object.fromEntries(
      rest.map((attribute) => {
        const [key, text] = splitOnce(attribute, '=');
        return [key.toLowerCase(), text];
      }),
    );
    const path = attributes.path?.startsWith('/') ? attributes.path : pathname.replace(/(.)\/[^/]*$/, '$1');
    const before = cookies.findIndex(
      (old) => old.name === name && old.host === hostname && old.path === path,
    );
    if (before >= 0) cookies.splice(before, 1);
    const isOver =
      attributes['max-age'] !== undefined
        ? Number(attributes['max-age']) <= 0
        : attributes.expires !== undefined && Date.parse(attributes.expires) <= Date.now();
    if (!isOver) cookies.push({ name, value, host: hostname, path, attributes });
  }

  return {
    cookies,
    open: (url, options = {}) => visit('GET', url, undefined, options),
    send: (url, body, options = {}) => visit('POST', url, body, options),
    submit(page, fields = {}, { button, form: index = 0, headers, ...options } = {}) {
      const form = page.forms[index];
      if (form === undefined) throw new Error(`${page.url} (${page.status}) has no form`);
      const pressed = button === undefined ? { action: form.action, fields: {} } : form.buttons[button];
      if (pressed === undefined) {
        throw new Error(`the form has no button ${button}: ${Object.keys(form.buttons)}`);
      }
      const unknown = Object.keys(fields).filter((name) => !(name in form.fields));
      if (unknown.length > 0) {
        throw new Error(`the form has no field ${unknown}: ${Object.keys(form.fields)}`);
      }
      const data = new URLSearchParams({ ...form.fields, ...fields, ...pressed.fields }).toString();
      return visit('POST', pressed.action, data, {
        ...options,
        headers: { ...senderHeaders(page, pressed.action), ...headers },
      });
    },
  };
}

// Fetch, "append a request Origin header" and Fetch Metadata: a page with the policy no-referrer has the origin null.
function senderHeaders(page: Page, action: string): Record<string, string> {
  const { origin } = new URL(page.url);
  return {
    origin: page.headers.get('referrer-policy') === 'no-referrer' ? 'null' : origin,
    'sec-fetch-site': new URL(action).origin === origin ? 'same-origin' : 'cross-site',
  };
}

function roundTrip(
  server: URL,
  path: string,
  method: string,
  headers: Record<string, string>,
  body: string | undefined,
): Promise<{ status: number; headers: Headers; text: string }> {
  const request = server.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(answerWithinMs);
    const { hostname, port } = server;
    // Else a forged Host would be the name that the certificate is held against.
    const servername = isIP(hostname) ? '' : hostname;
    const options = { hostname, servername, port, path, method, headers, signal, agent: false };
    request(options, async (res) => {
      try {
        const chunks: Buffer[] = [];
        for await (const chunk of res) chunks.push(chunk);
        const answered = new Headers();
        for (const [name, values = []] of Object.entries(res.headersDistinct)) {
          for (const value of values) answered.append(name, value);
        }
        resolve({ status: res.statusCode ?? 0, headers: answered, text: Buffer.concat(chunks).toString() });
      } catch (error) {
        reject(error);
      }
    })
      .on('error', reject)
      .end(body);
  });
}

function coversPath(cookiePath: string, path: string): boolean {
  return path === cookiePath || path.startsWith(cookiePath.endsWith('/') ? cookiePath : `${cookiePath}/`);
}

function splitOnce(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
