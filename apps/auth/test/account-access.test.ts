import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { demoAccounts } from '@gatehouse/demo-data';
import { createMemoryDenylist } from '@gatehouse/denylist';
import { createLogger, openDatabase } from '@gatehouse/service-kit';
import { type Browser, type RealServer, realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { eq, sql } from 'drizzle-orm';
import { createAccountAccess } from '../src/accounts/account-access.ts';
import { createAdapterFactory } from '../src/protocol/adapter.ts';
import { createVault } from '../src/protocol/vault.ts';
import { createPresentedTokens } from '../src/revocation/presented-tokens.ts';
import { createRevocations } from '../src/revocation/revocation.ts';
import { accounts, records } from '../src/schema.ts';
import { createSessions } from '../src/sessions/sessions.ts';
import { linger } from './lingering.ts';
import {
  authorizeUrl,
  demoWeb,
  encryptionKey,
  firstParty,
  issuer,
  redemption,
  referenceOf,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const { alice, bob } = demoAccounts;
const silent = authorizeUrl({ prompt: 'none', scope: 'openid' });
const answerOf = (location: string | null | undefined) => new URL(location ?? 'none:').searchParams;
const logger = createLogger({ name: 'auth', level: 'silent' });

async function signOutEverywhere(browser: Browser): Promise<void> {
  const page = await browser.open(`${issuer}/account/sign-out-everywhere`);
  await browser.submit(page, {}, { button: 'Sign out everywhere' });
}

suite('the end of access', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  test('A26 signing out everywhere ends every session and refresh token of one account, and a sign-in right after works', async () => {
    const [one, other, elsewhere] = [auth.browser(), auth.browser(), auth.browser()];
    const first = await auth.signedIn('alice', one);
    const second = await auth.signedIn('alice', other);
    const ofBob = await auth.signedIn('bob', elsewhere);
    await signOutEverywhere(one);
    for (const { refreshToken, accessToken } of [first, second]) {
      assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
      assert.equal(auth.isDenied(accessToken), true);
      // As if the request had taken its time to sign it.
      assert.equal(auth.denylist.isRevoked({ ...referenceOf(accessToken), jti: 'late', iat: 9e9 }), true);
    }
    for (const browser of [one, other]) {
      assert.equal(answerOf((await browser.open(silent)).redirect).get('error'), 'login_required');
    }
    const again = await auth.signedIn('alice', other);
    assert.equal(auth.isDenied(again.accessToken), false);
    assert.ok(answerOf((await other.open(silent)).redirect).get('code'));
    assert.equal((await auth.refresh(again.refreshToken)).status, 200);
    assert.equal(auth.isDenied(ofBob.accessToken), false);
    assert.ok(answerOf((await elsewhere.open(silent)).redirect).get('code'));
    assert.equal((await auth.refresh(ofBob.refreshToken)).status, 200);
  });

  test('A26 a sign-in that began before everything was signed out ends nowhere', async () => {
    const [owner, thief] = [auth.browser(), auth.browser()];
    await auth.signedIn('alice', owner);
    const form = await thief.open(authorizeUrl());
    const password = { username: 'alice', password: 'alice-demo-pass' };
    const halfway = await thief.submit(form, password, { follow: false });
    await signOutEverywhere(owner);
    const end = await thief.open(halfway.redirect ?? assert.fail(halfway.text));
    assert.equal(answerOf(end.redirect).get('error'), 'login_required');
    assert.equal(answerOf((await thief.open(silent)).redirect).get('error'), 'login_required');
  });

  test('consent is not taken from a session that has ended', async () => {
    const [owner, thief] = [auth.browser(), auth.browser()];
    await auth.signedIn('bob', owner);
    const form = await thief.open(authorizeUrl());
    const question = await thief.submit(form, { username: 'bob', password: 'bob-demo-pass' });
    assert.match(question.text, /<h1>Allow/);
    await signOutEverywhere(owner);
    assert.equal((await thief.submit(question, {}, { button: 'Allow' })).status, 400);
  });

  test('V7.2.4 V7.4.3 what has ended is not stored again, under whatever name', async (t) => {
    const vault = createVault(encryptionKey);
    const { db, denylist } = auth;
    const revocations = createRevocations({ db, denylist, logger });
    t.after(() => revocations.close());
    const sessions = createSessions({ db, vault, deliveries: { add: async () => {} } });
    const access = createAccountAccess({ db, vault, revocations, sessions });
    const audit = { record: async () => {}, count: () => {}, close: async () => {} };
    const presented = createPresentedTokens();
    const store = createAdapterFactory({
      db,
      vault,
      revocations,
      sessions,
      presented,
      refreshGraceMs: 0,
      audit,
    })('Session');
    const sessionsNotBefore = async () => {
      const [row] = await db.select().from(accounts).where(eq(accounts.id, bob.id));
      return row?.sessionsNotBefore ?? 0;
    };
    const session = async (uid: string) => ({ uid, accountId: bob.id, since: await sessionsNotBefore() });

    const left = await session('left');
    await store.upsert('one', left, 60);
    await db.transaction((tx) => sessions.end(tx, left));
    for (const id of ['one', 'renamed']) {
      await assert.rejects(store.upsert(id, left, 60), { error: 'login_required' });
      assert.equal(await store.find(id), undefined);
    }

    const [kept, lost] = [await session('kept'), await session('lost')];
    await store.upsert('kept', kept, 60);
    await store.upsert('lost', lost, 60);
    const notBefore = await sessionsNotBefore();
    const since = await access.endAll(bob.id);
    await assert.rejects(store.upsert('lost', lost, 60), { error: 'login_required' });
    await store.upsert('kept renamed', { ...kept, since }, 60);
    // The name that somebody may have copied, in a request that had read it before.
    await assert.rejects(store.upsert('kept', kept, 60), { error: 'login_required' });
    assert.equal(await store.find('kept'), undefined);
    const row = { model: 'Grant', idHash: 'late', payload: '' };
    await assert.rejects(sessions.storeGrant(row, bob.id, notBefore), { error: 'invalid_grant' });
    await access.endAll(bob.id);
    await assert.rejects(store.upsert('kept renamed', { ...kept, since }, 60), { error: 'login_required' });
    await store.upsert('new', await session('new'), 60);
  });

  test('a request that only asks, and has read the session before, takes nothing from what its client was given', async () => {
    const vault = createVault(encryptionKey);
    const { db } = auth;
    const sessions = createSessions({ db, vault, deliveries: { add: async () => {} } });
    const uid = 'asked in';
    const row = { model: 'Session', idHash: uid, uidHash: vault.hash(uid, 'Session uid') };
    const store = async (shop: { sid: string; grantId?: string }) => {
      const session = { uid, accountId: bob.id, since: 9e9, authorizations: { shop } };
      const payload = vault.seal(JSON.stringify(session), `Session ${uid}`);
      await sessions.store({ ...row, payload }, session, 'shop');
      const [stored] = await db.select().from(records).where(eq(records.idHash, uid));
      return JSON.parse(vault.open(stored?.payload ?? '', `Session ${uid}`)).authorizations.shop;
    };
    const given = await store({ sid: 'one', grantId: 'of one' });
    assert.deepEqual(await store({ sid: 'two' }), given);
    const session = { uid, accountId: bob.id };
    assert.deepEqual(await db.transaction((tx) => sessions.end(tx, session)), ['of one']);
  });

  test('a crowd that signs an account out, or many who do it in a row, date what it is given next no further ahead than services take', async (t) => {
    const { db, denylist } = auth;
    const vault = createVault(encryptionKey);
    const revocations = createRevocations({ db, denylist, logger });
    t.after(() => revocations.close());
    const sessions = createSessions({ db, vault, deliveries: { add: async () => {} } });
    const access = createAccountAccess({ db, vault, revocations, sessions });
    const atOnce = Array.from({ length: 20 }, () => access.endAll(alice.id, { changesNothing: true }));
    const dates = await Promise.all(atOnce);
    assert.equal(new Set(dates).size, 1);
    // One after another, each ends what the one before had let begin.
    assert.ok((await access.endAll(alice.id, { changesNothing: true })) > Math.max(...dates));
    // And who changes the account has a moment of his own, whoever else is at it.
    const changes = await Promise.all([access.endAll(alice.id), access.endAll(alice.id)]);
    assert.equal(new Set(changes).size, 2);
    // Many in a row wait for their moments.
    for (let count = 0; count < 6; count++) await access.endAll(bob.id);
    assert.ok((await access.endAll(bob.id)) - Date.now() / 1000 <= 5);
  });

  test('an account with more sessions and grants than one statement takes is signed out of all', async () => {
    const { db, denylist } = auth;
    const browser = auth.browser();
    await auth.signedIn('alice', browser);
    const vault = createVault(encryptionKey);
    const accountHash = vault.hash(alice.id, 'account');
    const rows = ['Session', 'Grant'].flatMap((model) =>
      Array.from({ length: 1_100 }, (_, n) => {
        const idHash = `${model} ${n}`;
        const known = { jti: idHash, uid: idHash, accountId: alice.id };
        return {
          model,
          idHash,
          accountHash,
          payload: vault.seal(JSON.stringify(known), `${model} ${idHash}`),
        };
      }),
    );
    await db.insert(records).values(rows);
    await signOutEverywhere(browser);
    const left = await db.select().from(records).where(eq(records.accountHash, accountHash));
    assert.equal(left.length, 0);
    for (const gid of ['Grant 0', 'Grant 1099']) {
      assert.equal(denylist.isRevoked({ jti: 'some', sub: 'nobody', iat: 9e9, gid }), true);
    }
  });
});

const needed = { skip: realServer('postgres').skip || realServer('redis').skip };

suite('the end of access through two processes', needed, () => {
  let postgres: RealServer;
  let redis: RealServer;
  let servers: [TestAuth, TestAuth];
  let database: Awaited<ReturnType<typeof openDatabase>>;
  before(async () => {
    [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    const start = () => startTestAuth({ databaseUrl: postgres.url, redisUrl: redis.url, ownProcess: true });
    servers = await Promise.all([start(), start()]);
    const migrations = new URL('../migrations', import.meta.url);
    database = await openDatabase({ url: postgres.url }, { name: 'auth', migrations, logger });
  });
  after(async () => {
    await database?.close();
    for (const server of servers ?? []) await server.close();
    await postgres?.stop();
    await redis?.stop();
  });

  const cookieOf = ({ cookies }: Browser) => cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
  const ask = (server: TestAuth, cookie: string) =>
    server.send(silent.slice(issuer.length), { headers: { cookie } });

  test('R16 requests of a session that are under way while it is signed out bring it not back', async () => {
    const [one, other] = servers;
    for (let round = 0; round < 5; round += 1) {
      const browser = one.browser();
      const { idToken } = await one.signedIn('alice', browser);
      const query = new URLSearchParams({ id_token_hint: idToken });
      const page = await browser.open(`${issuer}/logout?${query}`);
      const cookie = cookieOf(browser);
      let isOut = false;
      const pester = async (server: TestAuth) => {
        const kept: string[] = [];
        while (!isOut) {
          const { headers } = await ask(server, cookie);
          kept.push(
            headers
              .getSetCookie()
              .map((line) => line.split(';')[0])
              .join('; '),
          );
        }
        return kept;
      };
      const pestering = [one, other, one, other].map(pester);
      const out = await browser.submit(page, {}, { button: 'Sign out' });
      assert.match(out.text, /Signed out/);
      isOut = true;
      const kept = (await Promise.all(pestering)).flat();
      for (const found of [cookie, ...kept.slice(-8)].filter(Boolean)) {
        const { headers } = await ask(other, found);
        assert.equal(answerOf(headers.get('location')).get('error'), 'login_required');
      }
    }
  });

  /** What a request answers that has read everything before its account is signed out, and stores something after. */
  async function overtaken<Result>(accountId: string, request: () => Promise<Result>): Promise<Result> {
    let answer: Promise<Result> | undefined;
    await database.db.transaction(async (tx) => {
      const isThis = eq(accounts.id, accountId);
      const [account] = await tx.select().from(accounts).where(isThis).for('update');
      answer = request();
      const waiting = () =>
        database.db.$count(
          sql`pg_stat_activity`,
          sql`wait_event_type = 'Lock' and query like '%for no key update%'`,
        );
      for (let tries = 0; (await waiting()) === 0; tries += 1) {
        assert.ok(tries < 500, 'the request does not wait for the account');
        await delay(10);
      }
      const sessionsNotBefore = Math.max(Math.ceil(Date.now() / 1000), account?.sessionsNotBefore ?? 0) + 1;
      await tx.update(accounts).set({ sessionsNotBefore }).where(isThis);
    });
    return answer as Promise<Result>;
  }

  test('R16 a refresh that has read its account before the roles change, however long it takes, tells the old ones to nobody', async (t) => {
    const [one, other] = servers;
    const { db } = database;
    const vault = createVault(encryptionKey);
    const revocations = createRevocations({ db, denylist: createMemoryDenylist(), logger });
    t.after(() => revocations.close());
    const sessions = createSessions({ db, vault, deliveries: { add: async () => {} } });
    const access = createAccountAccess({ db, vault, revocations, sessions });
    const { refreshToken } = await one.signedIn('alice');
    const { begun, end } = await linger(db, 'records', `new.model = 'RefreshToken'`);
    t.after(end);
    const answer = one.refresh(refreshToken);
    await begun();
    await access.endAccessTokens(alice.id);
    const { status, body } = await answer;
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(await other.isActive(body.access_token, demoWeb), false);
  });

  test('R16 V7.4.2 no number of requests of an account keeps it from being signed out', async () => {
    const [one, other] = servers;
    const browser = one.browser();
    await one.signedIn('bob', browser);
    const cookie = cookieOf(browser);
    const page = await browser.open(`${issuer}/account/sign-out-everywhere`);
    let isOut = false;
    const pester = async (server: TestAuth) => {
      while (!isOut) await ask(server, cookie);
    };
    const pestering = Array.from({ length: 24 }, (_, n) => pester(n % 2 === 0 ? one : other));
    const { status } = await browser.submit(page, {}, { button: 'Sign out everywhere', follow: false });
    isOut = true;
    await Promise.all(pestering);
    assert.equal(status, 303);
    const { headers } = await ask(other, cookie);
    assert.equal(answerOf(headers.get('location')).get('error'), 'login_required');
  });

  test('R16 a request that has read its session before it is ended gives no code', async () => {
    const [one] = servers;
    const browser = one.browser();
    await signIn(browser, authorizeUrl(), 'bob');
    const cookie = cookieOf(browser);
    const { headers } = await overtaken(bob.id, () => ask(one, cookie));
    assert.equal(answerOf(headers.get('location')).get('error'), 'login_required');
  });

  test('R16 a password that was right before everything was signed out gives no tokens', async () => {
    const [one] = servers;
    const form = { grant_type: 'password', username: 'bob', password: 'bob-demo-pass', scope: 'items:read' };
    const { status, body } = await overtaken(bob.id, () => one.token(form, firstParty));
    assert.deepEqual({ status, error: body.error }, { status: 400, error: 'invalid_grant' });
    assert.equal((await one.token(form, firstParty)).status, 200);
  });

  test('A26 codes and refresh tokens that are used while everything is signed out give nothing that lasts', async () => {
    const [one, other] = servers;
    for (let round = 0; round < 3; round += 1) {
      const browser = one.browser();
      const { refreshToken } = await one.signedIn('alice', browser);
      const code = redemption(await signIn(other.browser()));
      const using = [
        ...[one, other, one].map((server) => server.refresh(refreshToken)),
        other.token(code, demoWeb),
      ];
      const [answers] = await Promise.all([Promise.all(using), signOutEverywhere(browser)]);
      for (const { body } of answers.filter(({ status }) => status === 200)) {
        assert.equal(await other.isActive(body.access_token, demoWeb), false);
        const next = body.refresh_token ? await one.refresh(body.refresh_token) : undefined;
        assert.notEqual(next?.status, 200);
      }
    }
  });
});
