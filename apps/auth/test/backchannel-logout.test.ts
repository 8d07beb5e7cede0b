import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { demoAccounts } from '@gatehouse/demo-data';
import { createLogger, openDatabase } from '@gatehouse/service-kit';
import { type RealServer, realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { decodeJwt, exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { linger } from './lingering.ts';
import { createLogoutVerifier, startLogoutReceiver, type Trouble } from './logout-receiver.ts';
import { goodPassword, signedInAsNew } from './registering.ts';
import {
  authorizeUrl,
  callback,
  demoWeb,
  issuer,
  redemption,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const { alice, bob } = demoAccounts;
const shop = { id: 'shop', secret: 'a-secret-of-the-shop-for-tests-0123456789' };

type Receiver = Awaited<ReturnType<typeof startLogoutReceiver>>;

const registered = (uri: string) =>
  JSON.stringify([
    {
      client_id: shop.id,
      client_name: 'Shop',
      client_secret: shop.secret,
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [callback],
      backchannel_logout_uri: uri,
      allowed_scopes: 'items:read',
    },
  ]);

const shopUrl = (changes = {}) =>
  authorizeUrl({ client_id: shop.id, scope: 'openid items:read', prompt: undefined, ...changes });

/** The ID token that the shop gets for `username`, in this browser. */
async function signInAtShop(auth: TestAuth, browser: ReturnType<TestAuth['browser']>, username: string) {
  const answer = await signIn(browser, shopUrl(), username);
  const { status, body } = await auth.post('/token', redemption(answer), shop);
  assert.equal(status, 200, JSON.stringify(body));
  return { claims: decodeJwt(body.id_token), idToken: body.id_token, accessToken: body.access_token };
}

async function signOut(browser: ReturnType<TestAuth['browser']>, idToken: string) {
  const query = new URLSearchParams({ id_token_hint: idToken });
  const page = await browser.open(`${issuer}/logout?${query}`);
  return browser.submit(page, {}, { button: 'Sign out' });
}

async function until(isSo: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !isSo(); tries += 1) {
    assert.ok(tries < 600, what);
    await delay(50);
  }
}

suite('back-channel logout', () => {
  let auth: TestAuth;
  let receiver: Receiver;
  const trouble: Trouble[] = [];
  before(async () => {
    const keys = async () => (await auth.send('/.well-known/jwks.json')).body;
    receiver = await startLogoutReceiver(createLogoutVerifier({ issuer, clientId: shop.id, keys }), trouble);
    auth = await startTestAuth({ env: { CLIENTS: registered(receiver.url) } });
  });
  after(async () => {
    await auth?.close();
    await receiver?.close();
  });

  test('the metadata says so', async () => {
    const { body } = await auth.send('/.well-known/openid-configuration');
    assert.equal(body.backchannel_logout_supported, true);
    assert.equal(body.backchannel_logout_session_supported, true);
  });

  test('A53 signing out tells each client of the session once, in a token that it verifies', async () => {
    const browser = auth.browser();
    const { claims, idToken } = await signInAtShop(auth, browser, 'alice');
    assert.ok(claims.sid);
    const elsewhere = await signInAtShop(auth, auth.browser(), 'alice');
    assert.notEqual(elsewhere.claims.sid, claims.sid);
    const from = receiver.tokens.length;

    assert.match((await signOut(browser, idToken)).text, /Signed out/);
    await until(() => receiver.logouts.length > 0, 'the client never heard');
    assert.deepEqual(receiver.logouts.splice(0), [{ sub: alice.id, sid: claims.sid }]);
    const { jti, ...token } = decodeJwt(receiver.tokens[from] ?? '');
    assert.ok(jti);
    assert.deepEqual(Object.keys(token).sort(), ['aud', 'events', 'exp', 'iat', 'iss', 'sid', 'sub']);
    assert.deepEqual(receiver.refusals, []);
  });

  test('a client that does not answer well hears again, in a new token, until it does', async () => {
    const browser = auth.browser();
    const { claims, idToken } = await signInAtShop(auth, browser, 'bob');
    const from = receiver.tokens.length;
    trouble.push(503, 302);
    await signOut(browser, idToken);
    await until(() => receiver.logouts.length > 0, 'the client never heard');
    assert.deepEqual(receiver.logouts.splice(0), [{ sub: bob.id, sid: claims.sid }]);
    const tokens = receiver.tokens.slice(from);
    assert.equal(tokens.length, 3, 'a redirect was followed');
    assert.equal(new Set(tokens.map((token) => decodeJwt(token).jti)).size, 3);
    const log = auth.log.join('');
    assert.match(log, /did not take a logout/);
    for (const token of tokens) assert.ok(!log.includes(token), 'the log holds a logout token');
  });

  test('a client that hangs keeps neither the browser nor the other logouts waiting', async () => {
    const [one, other] = [auth.browser(), auth.browser()];
    const first = await signInAtShop(auth, one, 'alice');
    const second = await signInAtShop(auth, other, 'bob');
    trouble.push('hang');
    await signOut(one, first.idToken);
    await until(() => trouble.length === 0, 'nobody called');
    await signOut(other, second.idToken);
    await until(() => receiver.logouts.length === 2, 'a logout is missing');
    assert.deepEqual(
      receiver.logouts
        .splice(0)
        .map(({ sid }) => sid)
        .sort(),
      [first.claims.sid, second.claims.sid].sort(),
    );
  });

  test('signing out everywhere tells the clients of every session, and no other account’s', async () => {
    const browsers = [auth.browser(), auth.browser()];
    const sids: unknown[] = [];
    for (const browser of browsers) sids.push((await signInAtShop(auth, browser, 'alice')).claims.sid);
    await signInAtShop(auth, auth.browser(), 'bob');
    const [browser] = browsers;
    assert.ok(browser);
    const page = await browser.open(`${issuer}/account/sign-out-everywhere`);
    await browser.submit(page, {}, { button: 'Sign out everywhere' });
    // Of earlier tests, some sessions of alice are still there.
    await until(
      () => sids.every((sid) => receiver.logouts.some((logout) => logout.sid === sid)),
      'a logout is missing',
    );
    assert.ok(receiver.logouts.splice(0).every(({ sub }) => sub === alice.id));
  });

  test('a client that leaves a session that goes on hears of it, and comes back under another name', async () => {
    const browser = auth.browser();
    const { claims, idToken } = await signInAtShop(auth, browser, 'alice');
    const page = await browser.open(`${issuer}/logout?${new URLSearchParams({ id_token_hint: idToken })}`);
    assert.match((await browser.submit(page, {}, { button: 'Stay signed in' })).text, /Still signed in/);
    await until(() => receiver.logouts.length > 0, 'the client never heard');
    assert.deepEqual(receiver.logouts.splice(0), [{ sub: alice.id, sid: claims.sid }]);
    assert.notEqual((await signInAtShop(auth, browser, 'alice')).claims.sid, claims.sid);
  });

  test('a session that goes on after a change of password has another name for its client', async () => {
    const { username, browser } = await signedInAsNew(auth);
    const { claims } = await signInAtShop(auth, browser, username);
    const page = await browser.open(`${issuer}/account/password`);
    const next = 'eleven brown otters';
    await browser.submit(page, { current: goodPassword, password: next, again: next });
    await until(() => receiver.logouts.length > 0, 'the client never heard');
    assert.deepEqual(receiver.logouts.splice(0), [{ sub: claims.sub, sid: claims.sid }]);
    assert.notEqual((await signInAtShop(auth, browser, username)).claims.sid, claims.sid);
  });

  test('A53 a client takes no token twice, none with a nonce, and none that is not a logout token for it', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), alg: 'ES256', kid: 'k' };
    const verify = createLogoutVerifier({ issuer, clientId: shop.id, keys: async () => ({ keys: [jwk] }) });
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const claims = (changes: Record<string, unknown> = {}): JWTPayload => {
      const now = Math.floor(Date.now() / 1000);
      const right = { iss: issuer, aud: shop.id, sub: alice.id, sid: 's', jti: randomUUID(), events };
      return { ...right, iat: now, exp: now + 120, ...changes };
    };
    const sign = (payload: JWTPayload, typ = 'logout+jwt', key = privateKey) =>
      new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid: 'k', typ }).sign(key);

    const token = await sign(claims());
    assert.deepEqual(await verify(token), { sub: alice.id, sid: 's' });
    await assert.rejects(verify(token), /used before/);
    const stranger = await generateKeyPair('ES256');
    const wrong: Record<string, string> = {
      nonce: await sign(claims({ nonce: 'n' })),
      'typ of an ID token': await sign(claims(), 'JWT'),
      'typ of an access token': await sign(claims(), 'at+jwt'),
      audience: await sign(claims({ aud: demoWeb.id })),
      issuer: await sign(claims({ iss: 'https://evil.example' })),
      'no events': await sign(claims({ events: undefined })),
      'other events': await sign(claims({ events: { 'https://example.com/other': {} } })),
      'no jti': await sign(claims({ jti: undefined })),
      expired: await sign(claims({ exp: 1 })),
      old: await sign(claims({ iat: Math.floor(Date.now() / 1000) - 600 })),
      'another key': await sign(claims(), 'logout+jwt', stranger.privateKey),
      'alg none': new UnsecuredJWT(claims()).encode(),
    };
    for (const [name, bad] of Object.entries(wrong)) await assert.rejects(verify(bad), name);
  });
});

const needed = { skip: realServer('postgres').skip || realServer('redis').skip };

suite('back-channel logout by several processes', needed, () => {
  let postgres: RealServer;
  let redis: RealServer;
  before(async () => {
    [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  });
  after(async () => {
    await postgres?.stop();
    await redis?.stop();
  });

  test('A53 a client that gets its tokens while the session ends hears of it, and its tokens end', async (t) => {
    let server: TestAuth | undefined;
    const keys = async () => (await server?.send('/.well-known/jwks.json'))?.body;
    const receiver = await startLogoutReceiver(createLogoutVerifier({ issuer, clientId: shop.id, keys }));
    t.after(() => receiver.close());
    const options = {
      databaseUrl: postgres.url,
      redisUrl: redis.url,
      env: { CLIENTS: registered(receiver.url) },
    };
    const [one, other] = await Promise.all([startTestAuth(options), startTestAuth(options)]);
    t.after(() => Promise.all([one.close(), other.close()]));
    server = one;
    await signInAtShop(one, one.browser(), 'alice');
    const browser = one.browser();
    const { idToken } = await one.signedIn('alice', browser);
    const page = await browser.open(`${issuer}/logout?${new URLSearchParams({ id_token_hint: idToken })}`);

    const migrations = new URL('../migrations', import.meta.url);
    const logger = createLogger({ name: 'auth', level: 'silent' });
    const { db, close } = await openDatabase({ url: postgres.url }, { name: 'auth', migrations, logger });
    t.after(close);
    const { begun, end } = await linger(db, 'audit_events', `new.event = 'sign-out'`);
    const leaving = browser.submit(page, {}, { button: 'Sign out' });
    await begun();
    const same = other.browser();
    same.cookies.push(...browser.cookies);
    const { claims, accessToken } = await signInAtShop(other, same, 'nobody');
    assert.match((await leaving).text, /Signed out/);
    await end();

    assert.equal(await other.isActive(accessToken, shop), false);
    await until(() => receiver.logouts.length > 0, 'the client never heard');
    assert.deepEqual(receiver.logouts, [{ sub: alice.id, sid: claims.sid }]);
  });

  test('what a killed process had yet to tell, another tells, and two tell it once', async (t) => {
    let server: TestAuth | undefined;
    const keys = async () => (await server?.send('/.well-known/jwks.json'))?.body;
    const receiver = await startLogoutReceiver(createLogoutVerifier({ issuer, clientId: shop.id, keys }), [
      'hang',
    ]);
    t.after(() => receiver.close());
    const start = () =>
      startTestAuth({
        databaseUrl: postgres.url,
        redisUrl: redis.url,
        ownProcess: true,
        env: { CLIENTS: registered(receiver.url) },
      });
    const killed = await start();
    server = killed;
    const browser = killed.browser();
    const { claims, idToken } = await signInAtShop(killed, browser, 'alice');
    await signOut(browser, idToken);
    await until(() => receiver.tokens.length > 0, 'nobody called');
    await killed.kill();

    const [one, other] = await Promise.all([start(), start()]);
    t.after(() => Promise.all([one.close(), other.close()]));
    server = one;
    await until(() => receiver.logouts.length > 0, 'the client never heard');
    for (let count = 0; count < 5; count += 1) {
      const next = one.browser();
      await signOut(next, (await signInAtShop(one, next, 'bob')).idToken);
    }
    await until(() => receiver.logouts.length >= 6, 'a logout is missing');
    await delay(2_500);
    assert.equal(receiver.tokens.length, 7);
    assert.deepEqual(receiver.logouts[0], { sub: alice.id, sid: claims.sid });
    assert.equal(new Set(receiver.logouts.map(({ sid }) => sid)).size, 6);
  });
});
