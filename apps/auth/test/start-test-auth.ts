import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  createMemoryDenylist,
  type DenylistReader,
  type DenylistWriter,
  type TokenReference,
} from '@gatehouse/denylist';
import { type EmbeddedPostgres, openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { createLogger, type Db, type Metrics } from '@gatehouse/service-kit';
import { type Browser, createBrowser, nodeSettings, type Page } from '@gatehouse/test-kit';
import { type SQL, sql } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import { startAuth } from '../src/app.ts';
import { AuthConfigSchema } from '../src/config.ts';
import type { ExchangePolicy } from '../src/grants/token-exchange.ts';

export const issuer = 'http://localhost:8080';
export const demoWeb = { id: 'demo-web', secret: 'demo-web-secret' };
export const orders = { id: 'orders-service', secret: 'orders-secret-for-tests' };
export const users = { id: 'users-service', secret: 'users-secret-for-tests' };
export const reporting = { id: 'demo-reporting', secret: 'demo-reporting-secret' };
export const explorer = { id: 'explorer' };
export const firstParty = { id: 'demo-first-party' };
export const callback = 'http://localhost:9999/callback';

export interface Credentials {
  id: string;
  secret?: string;
}

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: an answer has whatever shape the test expects of it.
  body: any;
}

export type TestAuth = Awaited<ReturnType<typeof startTestAuth>>;

/** The rows that a statement answers with. */
// biome-ignore lint/suspicious/noExplicitAny: a row has whatever shape the test expects of it.
export async function rowsOf(db: Db, statement: SQL): Promise<Record<string, any>[]> {
  // biome-ignore lint/suspicious/noExplicitAny: likewise.
  return ((await db.execute(statement)) as unknown as { rows: Record<string, any>[] }).rows;
}

interface TestAuthOptions {
  databaseUrl?: string;
  redisUrl?: string;
  denylist?: DenylistReader & DenylistWriter;
  env?: Record<string, string>;
  metrics?: Metrics;
  /** Instead of those that every deployment has. */
  exchangePolicies?: readonly ExchangePolicy[];
  /** Run it as the operating system would, which needs both addresses. */
  ownProcess?: boolean;
}

/** A running authorization server with nothing but the demo data; on an embedded database and the memory denylist unless told otherwise. */
export async function startTestAuth(options: TestAuthOptions = {}) {
  const { databaseUrl, redisUrl, denylist = createMemoryDenylist(), env, exchangePolicies } = options;
  const embedded = databaseUrl === undefined ? await emptyDatabase() : undefined;
  const log: string[] = [];
  const variables = {
    ISSUER: issuer,
    PORT: '0',
    ...(databaseUrl !== undefined && { DATABASE_URL: databaseUrl }),
    ...(redisUrl !== undefined && { REDIS_URL: redisUrl }),
    ENCRYPTION_KEY: encryptionKey,
    ORDERS_CLIENT_SECRET: orders.secret,
    USERS_CLIENT_SECRET: users.secret,
    DEMO: 'true',
    ALLOW_PASSWORD_GRANT: 'true',
    ...env,
  };
  const auth = options.ownProcess ? await spawnMain(variables, log) : await startHere();

  async function startHere() {
    const shared = {
      ...(embedded && { embedded }),
      ...(redisUrl === undefined && { denylist }),
      ...(options.metrics && { metrics: options.metrics }),
      logger: createLogger({ name: 'auth', level: 'debug' }, { write: (line: string) => log.push(line) }),
    };
    const config = AuthConfigSchema.parse(variables);
    const running = await startAuth(config, shared, exchangePolicies && { exchangePolicies });
    return { url: running.listener.url, close: running.close, kill: undefined };
  }
  let isClosed = false;
  const close = async () => {
    if (isClosed) return;
    isClosed = true;
    await auth.close();
  };
  /** Ends the process of its own at once, as a power cut does. */
  const kill = async () => {
    assert.ok(auth.kill, 'this server is no process of its own');
    isClosed = true;
    await auth.kill();
  };
  const { url } = auth;

  async function send(path: string, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(url + path, { redirect: 'manual', ...init });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json');
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  }

  /** Posts a form, as this client: with its secret in the Authorization header, or with its id in the form. */
  function post(path: string, form: Record<string, string>, client?: Credentials): Promise<Answer> {
    const body = new URLSearchParams(form);
    const headers: Record<string, string> = {};
    if (client?.secret === undefined) {
      if (client) body.set('client_id', client.id);
    } else {
      headers.authorization = basic(client);
    }
    return send(path, { method: 'POST', body, headers });
  }

  const newBrowser = () => createBrowser({ connectTo: { [issuer]: url } });

  /** What userinfo answers to this access token. */
  const userinfo = (accessToken: string) =>
    send('/userinfo', { headers: { authorization: `Bearer ${accessToken}` } });

  return {
    url,
    log,
    denylist,
    close,
    kill,
    send,
    post,
    userinfo,
    /** The database, when it is the embedded one. */
    get db(): Db {
      assert.ok(embedded, 'this server is on a database of its own');
      return embedded.db;
    },
    /** Whether the denylist, which every service follows, names this token. */
    isDenied: (token: string) => denylist.isRevoked(referenceOf(token)),
    /** Whether the server calls this access token active when its own client asks. */
    isActive: async (token: string, client: Credentials) =>
      (await post('/introspect', { token }, client)).body.active === true,
    /** The tokens that demo-web gets for `username` after sign-in and consent. */
    async signedIn(username = 'alice', browser = newBrowser()) {
      const answer = await signIn(browser, authorizeUrl(), username);
      const { status, body } = await post('/token', redemption(answer), demoWeb);
      assert.equal(status, 200, JSON.stringify(body));
      return { accessToken: body.access_token, refreshToken: body.refresh_token, idToken: body.id_token };
    },
    refresh: (refreshToken: string, form: Record<string, string> = {}, client: Credentials = demoWeb) =>
      post('/token', { grant_type: 'refresh_token', refresh_token: refreshToken, ...form }, client),
    token: (form: Record<string, string>, client?: Credentials) => post('/token', form, client),
    password: (form: Record<string, string> = {}) => post('/token', { ...johndoe, ...form }, firstParty),
    browser: newBrowser,
  };
}

/** src/main.ts, or that of another part, as a process of its own, once it listens. */
export async function spawnMain(env: Record<string, string>, log: string[], main = '../src/main.ts') {
  const file = fileURLToPath(new URL(main, import.meta.url));
  const child = spawn(process.execPath, [file], {
    env: { ...nodeSettings, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const close = async () => {
    child.kill('SIGTERM');
    assert.deepEqual(await exited, [0, null]);
  };
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  for await (const line of createInterface(child.stdout)) {
    log.push(line);
    const { msg, port } = JSON.parse(line);
    if (msg !== 'listening') continue;
    // Leaving the loop closes the pipe's reader; the child must not wait for one.
    child.stdout.resume();
    return { url: `http://127.0.0.1:${port}`, close, kill };
  }
  throw new Error('auth ended before it listened');
}

/** What the denylist needs to know of a token. */
export function referenceOf(token: string): TokenReference {
  const { jti = '', sub = '', iat = 0, gid } = decodeJwt<{ gid?: string }>(token);
  return { jti, sub, iat, gid };
}

// One for all suites, since starting it takes seconds.
let shared: Promise<EmbeddedPostgres> | undefined;
after(async () => (await shared)?.close());

async function emptyDatabase(): Promise<EmbeddedPostgres> {
  shared ??= openEmbeddedPostgres(undefined);
  const { db } = await shared;
  for (const schema of ['auth', 'migrations']) {
    await db.execute(sql`drop schema if exists ${sql.identifier(schema)} cascade`);
  }
  return shared;
}

/** The same for every server of a test, so that several can share a database. */
export const encryptionKey = randomBytes(32).toString('base64url');

const johndoe = {
  grant_type: 'password',
  username: 'johndoe',
  password: 'secret',
  scope: 'profile:read items:read',
};

export function basic({ id, secret = '' }: Credentials): string {
  return `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;
}

const verifier = 'a-verifier-of-at-least-forty-three-characters-0123456789';
export const pkce = { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };

/** The address of an authorization request that is right but for what `changes` changes; undefined leaves one out. */
export function authorizeUrl(changes: Record<string, string | undefined> = {}): string {
  const parameters = {
    client_id: demoWeb.id,
    response_type: 'code',
    redirect_uri: callback,
    scope: 'openid profile offline_access orders:write items:read',
    prompt: 'consent',
    state: 'some-state',
    nonce: 'some-nonce',
    code_challenge: pkce.challenge,
    code_challenge_method: 'S256',
    ...changes,
  };
  const url = new URL('/authorize', issuer);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  return url.href;
}

/** Goes through sign-in and consent as a person does, to the answer that the client gets. */
export async function signIn(browser: Browser, url = authorizeUrl(), username = 'alice'): Promise<URL> {
  let page: Page = await browser.open(url);
  for (let step = 0; page.forms.length > 0 && step < 3; step += 1) {
    const form = page.forms[0];
    page =
      form && 'password' in form.fields
        ? await browser.submit(page, { username, password: `${username}-demo-pass` })
        : await browser.submit(page, {}, { button: 'Allow' });
  }
  // A client at the issuer's own origin is reached, and found to be missing here.
  const answer = new URL(page.redirect ?? page.url);
  assert.ok(
    answer.searchParams.has('code'),
    `no code for the client: ${page.status} ${page.text.slice(0, 2000)}`,
  );
  return answer;
}

/** The form that redeems the code of this answer. */
export function redemption(answer: URL): Record<string, string> {
  return {
    grant_type: 'authorization_code',
    code: answer.searchParams.get('code') ?? '',
    redirect_uri: callback,
    code_verifier: pkce.verifier,
  };
}
