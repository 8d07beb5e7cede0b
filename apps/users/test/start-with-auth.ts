import { randomBytes } from 'node:crypto';
import { AuthConfigSchema, startAuth } from '@gatehouse/auth';
import { createMemoryDenylist } from '@gatehouse/denylist';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { type ServiceConfig, startService } from '@gatehouse/service-kit';
import type { TestAnswer } from '@gatehouse/service-kit/testing';
import { users } from '../src/app.ts';
import { UsersConfigSchema } from '../src/config.ts';

export type UsersAndAuth = Awaited<ReturnType<typeof startUsersAndAuth>>;

/** Users beside the real authorization server, with the demo's accounts. */
export async function startUsersAndAuth() {
  const embedded = await openEmbeddedPostgres(undefined);
  const denylist = createMemoryDenylist();
  const secret = randomBytes(32).toString('base64url');
  const usual = { ISSUER: 'http://localhost:8080', PORT: '0', LOG_LEVEL: 'silent', DEMO: 'true' };
  const auth = await startAuth(
    AuthConfigSchema.parse({
      ...usual,
      ENCRYPTION_KEY: randomBytes(32).toString('base64url'),
      ORDERS_CLIENT_SECRET: secret,
      USERS_CLIENT_SECRET: secret,
      ALLOW_PASSWORD_GRANT: 'true',
    }),
    { embedded, denylist },
  );
  const authUrl = auth.listener.url;
  const config = UsersConfigSchema.parse({
    ...usual,
    JWKS_URI: `${authUrl}/.well-known/jwks.json`,
    ACCOUNTS_URL: authUrl,
    TOKEN_URL: `${authUrl}/token`,
    CLIENT_SECRET: secret,
  });
  const service = await startService(users, config as ServiceConfig & typeof config, { embedded, denylist });

  async function send(url: string, init: RequestInit): Promise<TestAnswer> {
    const response = await fetch(url, init);
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text && JSON.parse(text) };
  }

  const ask = (form: Record<string, string>) =>
    send(`${authUrl}/token`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: 'demo-first-party', ...form }),
    });

  /** Asks for tokens as an account of the demo. */
  const signIn = (username: string, scope: string) =>
    ask({ grant_type: 'password', username, password: `${username}-demo-pass`, scope });

  return {
    db: embedded.db,
    signIn,
    refresh: (refreshToken: string) => ask({ grant_type: 'refresh_token', refresh_token: refreshToken }),
    async tokenOf(username: string, scope: string): Promise<string> {
      const { status, body } = await signIn(username, scope);
      if (status !== 200) throw new Error(`${username} cannot sign in: ${JSON.stringify(body)}`);
      return body.access_token;
    },
    call(
      method: string,
      path: string,
      { token, json, headers }: { token?: string; json?: unknown; headers?: Record<string, string> } = {},
    ) {
      return send(service.listener.url + path, {
        method,
        headers: {
          ...(token !== undefined && { Authorization: `Bearer ${token}` }),
          ...(json !== undefined && { 'Content-Type': 'application/json' }),
          ...headers,
        },
        body: json === undefined ? null : JSON.stringify(json),
      });
    },
    stopAuth: () => auth.close(),
    async close() {
      await service.close();
      await auth.close();
      await embedded.close();
    },
  };
}
