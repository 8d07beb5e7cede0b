import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { demoAccounts } from '@gatehouse/demo-data';
import { createRedisDenylistReader, type DenylistReader } from '@gatehouse/denylist';
import { createLogger, createMetrics, openDatabase } from '@gatehouse/service-kit';
import { type RealServer, realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { eq } from 'drizzle-orm';
import { createAccountAdmin } from '../src/accounts/account-admin.ts';
import { createAuditLog } from '../src/audit/audit-log.ts';
import { createConsentStore } from '../src/interaction/consents.ts';
import { accounts } from '../src/schema.ts';
import {
  type Answer,
  authorizeUrl,
  demoWeb,
  explorer,
  issuer,
  redemption,
  referenceOf,
  signIn,
  startTestAuth,
  type TestAuth,
  users,
} from './start-test-auth.ts';

const needed = { skip: realServer('postgres').skip || realServer('redis').skip };

suite('two processes on one PostgreSQL and one Redis', needed, () => {
  const parallel = 20;
  let postgres: RealServer;
  let redis: RealServer;
  let denylist: DenylistReader;
  let servers: TestAuth[];
  before(async () => {
    [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    servers = await Promise.all([startProcess(), startProcess()]);
    denylist = createRedisDenylistReader({ url: redis.url });
    await denylist.ready();
  });
  after(async () => {
    await denylist?.close();
    for (const server of servers ?? []) await server.close();
    await postgres?.stop();
    await redis?.stop();
  });

  const startProcess = (env = {}) =>
    startTestAuth({ databaseUrl: postgres.url, redisUrl: redis.url, ownProcess: true, env });

  /** Sends the same form many times at once, half of them to each server. */
  const race = (form: Record<string, string>, to = servers): Promise<Answer[]> =>
    Promise.all(Array.from({ length: parallel }, (_, i) => (to[i % 2] as TestAuth).token(form, demoWeb)));

  function assertOneWinner(answers: readonly Answer[]): Answer {
    const winners = answers.filter(({ status }) => status === 200);
    assert.equal(winners.length, 1, `${winners.length} of ${parallel} got tokens`);
    for (const { status, body } of answers) {
      if (status !== 200)
        assert.deepEqual({ status, error: body.error }, { status: 400, error: 'invalid_grant' });
    }
    return winners[0] as Answer;
  }

  async function assertFamilyDead({ body }: Answer): Promise<void> {
    const [one] = servers as [TestAuth];
    // The revocation was acknowledged; whoever follows the log sees it a moment later.
    for (let tries = 0; !denylist.isRevoked(referenceOf(body.access_token)); tries += 1) {
      assert.ok(tries < 100, 'the winner’s access token is not on the denylist');
      await delay(10);
    }
    assert.equal((await one.refresh(body.refresh_token)).body.error, 'invalid_grant');
  }

  test('processes that start together on an empty database make one signing key', async () => {
    const [one, other] = await Promise.all(servers.map((server) => server.send('/.well-known/jwks.json')));
    assert.equal(one?.body.keys.length, 1);
    assert.deepEqual(one?.body, other?.body);
  });

  test('A09 R17 one code, redeemed 20 times at once through both, gives exactly one answer, and then no access', async () => {
    const [one] = servers as [TestAuth];
    for (let round = 0; round < 5; round += 1) {
      const form = redemption(await signIn(one.browser()));
      await assertFamilyDead(assertOneWinner(await race(form)));
    }
  });

  /** Uses this refresh token many times at once, and returns the one successor that all uses got. */
  async function raceToRefresh(refreshToken: string): Promise<Answer> {
    const answers = await race({ grant_type: 'refresh_token', refresh_token: refreshToken });
    for (const { status, body } of answers) assert.equal(status, 200, body.error);
    assert.equal(new Set(answers.map(({ body }) => body.refresh_token)).size, 1, 'the family forked');
    return answers[0] as Answer;
  }

  test('A23 R17 one refresh token, used 20 times at once through both, gives one successor, and that one the next', async () => {
    const [one, other] = servers as [TestAuth, TestAuth];
    for (let round = 0; round < 3; round += 1) {
      const { refreshToken, accessToken } = await one.signedIn();
      const second = await raceToRefresh(refreshToken);
      const third = await raceToRefresh(second.body.refresh_token);
      assert.equal(await one.isActive(third.body.access_token, demoWeb), true);
      // Its successor was used, so this is not a tab that came late.
      assert.equal((await other.refresh(refreshToken)).body.error, 'invalid_grant');
      await assertFamilyDead(third);
      assert.equal(await one.isActive(accessToken, demoWeb), false);
    }
  });

  test('A23 R17 whatever is used at once through both, no refresh token ever gets two successors', async () => {
    const [one] = servers as [TestAuth];
    for (let round = 0; round < 3; round += 1) {
      const { refreshToken } = await one.signedIn();
      const successorOf = new Map<string, string>();
      const use = async (token: string, server: TestAuth): Promise<void> => {
        const { status, body } = await server.refresh(token);
        if (status !== 200) return assert.equal(body.error, 'invalid_grant');
        const known = successorOf.get(token) ?? body.refresh_token;
        assert.equal(body.refresh_token, known, 'the family forked');
        successorOf.set(token, known);
        if (successorOf.size < 10) await Promise.all(servers.map((next) => use(known, next)));
      };
      await Promise.all(servers.flatMap((server) => [use(refreshToken, server), use(refreshToken, server)]));
      assert.ok(successorOf.size > 1);
    }
  });

  test('A23 R17 without a grace, one refresh token used 20 times at once gives exactly one answer, and then no access', async (t) => {
    const strict = { REFRESH_GRACE_SECONDS: '0' };
    const pair = await Promise.all([startProcess(strict), startProcess(strict)]);
    t.after(() => Promise.all(pair.map((server) => server.close())));
    const [one] = servers as [TestAuth];
    for (let round = 0; round < 5; round += 1) {
      const { refreshToken, accessToken } = await one.signedIn();
      const form = { grant_type: 'refresh_token', refresh_token: refreshToken };
      await assertFamilyDead(assertOneWinner(await race(form, pair)));
      assert.equal(await one.isActive(accessToken, demoWeb), false);
    }
  });

  test('A55 R17 whoever makes a grant of consent that is being withdrawn waits for that, and makes none', async (t) => {
    const [one, other] = servers as [TestAuth, TestAuth];
    await one.signedIn();
    const browser = other.browser();
    const login = await browser.open(`${issuer}/account`);
    await browser.submit(login, { username: 'alice', password: 'alice-demo-pass' });

    const migrations = new URL('../migrations', import.meta.url);
    const logger = createLogger({ name: 'auth', level: 'silent' });
    const { db, close } = await openDatabase({ url: postgres.url }, { name: 'auth', migrations, logger });
    t.after(close);
    const silent = authorizeUrl({ scope: 'openid items:read', prompt: 'none' });
    const answer = await db.transaction(async (tx) => {
      await createConsentStore(db).forget(tx, demoAccounts.alice.id, demoWeb.id);
      const page = browser.open(silent);
      await Promise.race([page, delay(500)]);
      return { page };
    });
    assert.match((await answer.page).redirect ?? '', /error=consent_required/);
  });

  test('R17 an administrator who is being disabled is waited for, and then does nothing', async (t) => {
    const migrations = new URL('../migrations', import.meta.url);
    const logger = createLogger({ name: 'auth', level: 'silent' });
    const { db, close } = await openDatabase({ url: postgres.url }, { name: 'auth', migrations, logger });
    const audit = createAuditLog({ db, metrics: createMetrics('auth'), logger });
    const isAdmin = eq(accounts.id, demoAccounts.admin.id);
    t.after(async () => {
      await db.update(accounts).set({ disabledAt: null }).where(isAdmin);
      await audit.close();
      await close();
    });
    const { enable } = createAccountAdmin({ db, access: {} as never, audit });
    const act = { accountId: demoAccounts.carol.id, actorId: demoAccounts.admin.id, clientId: users.id };
    const req = { headers: {}, socket: {} } as never;
    const { enabled } = await db.transaction(async (tx) => {
      await tx.update(accounts).set({ disabledAt: new Date() }).where(isAdmin);
      const enabled = assert.rejects(enable({ ...act, req }), { status: 403 });
      await Promise.race([enabled, delay(500)]);
      return { enabled };
    });
    await enabled;
  });

  test('R17 clients that ask at the same moment in one session all get their tokens', async () => {
    const [one] = servers as [TestAuth];
    const scope = 'openid items:read';
    const redirect_uri = `${issuer}/explorer/callback`;
    const requests = [{ scope }, { scope, client_id: explorer.id, redirect_uri }];
    for (const request of requests) await signIn(one.browser(), authorizeUrl(request));
    for (let round = 0; round < 5; round += 1) {
      const browser = one.browser();
      const login = await browser.open(`${issuer}/account`);
      await browser.submit(login, { username: 'alice', password: 'alice-demo-pass' });
      const [web, page] = await Promise.all(
        requests.map((request) =>
          browser.open(authorizeUrl({ ...request, prompt: 'none' }), { follow: false }),
        ),
      );
      const ofWeb = redemption(new URL(web?.redirect ?? 'none:'));
      const ofExplorer = { ...redemption(new URL(page?.redirect ?? 'none:')), redirect_uri };
      assert.equal((await one.token(ofWeb, demoWeb)).status, 200);
      assert.equal((await one.token(ofExplorer, explorer)).status, 200);
    }
  });

  test('a sign-in that began at one server goes on at the other', async () => {
    const [one, other] = servers as [TestAuth, TestAuth];
    const answer = await signIn(one.browser());
    const first = await other.token(redemption(answer), demoWeb);
    assert.equal(first.status, 200);
    assert.equal(await one.isActive(first.body.access_token, demoWeb), true);
    await one.post('/revoke', { token: first.body.access_token }, demoWeb);
    assert.equal(await other.isActive(first.body.access_token, demoWeb), false);
  });

  test('a server with another ENCRYPTION_KEY does not start, and says why', async () => {
    const env = { ENCRYPTION_KEY: Buffer.alloc(32, 7).toString('base64url') };
    await assert.rejects(startTestAuth({ databaseUrl: postgres.url, env }), {
      message: 'ENCRYPTION_KEY does not open the signing keys in the database',
    });
  });
});
