import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import { accountOfIdentity } from '../src/federation/federated-accounts.ts';
import { loadSigningKeys } from '../src/keys/keys.ts';
import { createVault } from '../src/protocol/vault.ts';
import { enterCode, requestCode } from './device-flow.ts';
import {
  authorizeUrl,
  callback,
  demoWeb,
  encryptionKey,
  issuer,
  pkce,
  redemption,
  rowsOf,
  signIn,
  startTestAuth,
} from './start-test-auth.ts';

const interactionCookies = ['interaction', 'cookie interaction', 'cookie resume'];

test('H36 V15 a dump of the database, or of the log, holds nothing that can be used', async () => {
  const notified = {
    client_id: 'notified',
    client_name: 'Notified of logouts',
    client_secret: 'a-secret-of-the-notified-client-0123456789',
    redirect_uris: [callback],
    // Nobody listens there, so it is told again and again.
    backchannel_logout_uri: 'http://127.0.0.1:1/logout',
    allowed_scopes: 'items:read',
  };
  const auth = await startTestAuth({ env: { CLIENTS: JSON.stringify([notified]) } });
  try {
    const browser = auth.browser();
    const unused = await signIn(browser);
    const login = await auth.browser().open(authorizeUrl());
    const interaction = login.url.split('/').at(-1) ?? '';
    const tokens = await auth.signedIn('bob');
    const refreshed = (await auth.refresh(tokens.refreshToken)).body;
    const used = redemption(await signIn(browser));
    await auth.token(used, demoWeb);
    await auth.post('/revoke', { token: refreshed.access_token }, demoWeb);
    const kept = await auth.signedIn('bob');
    const successor = (await auth.refresh(kept.refreshToken)).body;

    const mistaken = auth.browser();
    const typed = { username: 'the-password-typed-as-a-name', password: 'some-wrong-password' };
    assert.equal((await mistaken.submit(await mistaken.open(authorizeUrl()), typed)).status, 401);

    const leaving = auth.browser();
    const credentials = { id: notified.client_id, secret: notified.client_secret };
    const url = authorizeUrl({ client_id: credentials.id, scope: 'openid items:read', prompt: undefined });
    const { body: known } = await auth.post('/token', redemption(await signIn(leaving, url)), credentials);
    const hint = new URLSearchParams({ id_token_hint: known.id_token });
    await leaving.submit(await leaving.open(`${issuer}/logout?${hint}`), {}, { button: 'Sign out' });
    const { sid } = decodeJwt<{ sid: string }>(known.id_token);

    const device = await requestCode(auth);
    await enterCode(browser, device.user_code);

    await accountOfIdentity(auth.db, {
      issuer: 'https://elsewhere.example',
      subject: 'alice-elsewhere',
      authenticatedAt: undefined,
      profile: async () => ({}),
    });

    const tables = await rowsOf(
      auth.db,
      sql`select table_name from information_schema.tables where table_schema = 'auth'`,
    );
    let dump = '';
    for (const { table_name: name } of tables) {
      const rows = await rowsOf(auth.db, sql`select to_jsonb(t) from auth.${sql.identifier(String(name))} t`);
      assert.ok(rows.length > 0, `${name} is empty`);
      dump += JSON.stringify(rows);
    }

    const [signingKey] = await loadSigningKeys(auth.db, createVault(encryptionKey));
    const secrets: Record<string, string | undefined> = {
      'private key': signingKey?.d,
      'unused code': unused.searchParams.get('code') ?? undefined,
      'used code': used.code,
      'access token': kept.accessToken,
      'signature of an access token': kept.accessToken.split('.')[2],
      'refresh token': kept.refreshToken,
      'its successor': successor.refresh_token,
      'replaced refresh token': tokens.refreshToken,
      'revoked refresh token': refreshed.refresh_token,
      'ID token': kept.idToken,
      interaction: interaction,
      'session id that a client knows': sid,
      'device code': device.device_code,
      'user code': device.user_code,
      'user code in one word': device.user_code.replace('-', ''),
      'PKCE challenge': pkce.challenge,
      'client secret': demoWeb.secret,
      'secret of a configured client': notified.client_secret,
      password: 'bob-demo-pass',
      'wrong password': typed.password,
      'password typed as a name': typed.username,
    };
    for (const { name, value } of browser.cookies) secrets[`cookie ${name}`] = value;
    for (const [name, secret] of Object.entries(secrets)) {
      assert.ok(secret && secret.length >= 8, `no ${name} to look for`);
      assert.ok(!dump.includes(secret), `the dump holds the ${name}`);
      // The address of an interaction is in the log, and worth nothing without its signed cookie.
      const isAddress = interactionCookies.includes(name);
      assert.ok(isAddress || !auth.log.join('').includes(secret), `the log holds the ${name}`);
    }
    assert.match(dump, /"kid"/);
    assert.match(dump, /\$argon2id\$/);
  } finally {
    await auth.close();
  }
});
