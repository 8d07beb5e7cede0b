import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { demoAccounts } from '@gatehouse/demo-data';
import { createLogger, createMetrics, type Db, openDatabase } from '@gatehouse/service-kit';
import { freePort, realServer, startPostgres } from '@gatehouse/test-kit';
import { type SQL, sql } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import { createAuditLog, insertAuditEvents } from '../src/audit/audit-log.ts';
import { createAuditReader } from '../src/audit/audit-reader.ts';
import { mostFailures } from '../src/audit/failure-bound.ts';
import { auditEvents } from '../src/schema.ts';
import { allowDevice, enterCode, requestCode } from './device-flow.ts';
import {
  authorizeUrl,
  basic,
  demoWeb,
  explorer,
  orders,
  redemption,
  reporting,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const { alice, bob } = demoAccounts;
type Entry = typeof auditEvents.$inferSelect;

suite('the audit log', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  /** What `work` has recorded, in order. */
  async function recorded(work: () => Promise<unknown>): Promise<Entry[]> {
    const [last] = await auth.db.select({ id: sql<number>`coalesce(max(id), 0)` }).from(auditEvents);
    await work();
    return auth.db.select().from(auditEvents).where(sql`id > ${last?.id}`).orderBy(auditEvents.id);
  }
  const names = (entries: readonly Entry[]) => entries.map(({ event, outcome }) => `${event} ${outcome}`);

  test('sign-in, consent and the tokens are recorded with who, for which client, from where and in which request', async () => {
    let idToken = '';
    let accessToken = '';
    const entries = await recorded(async () => ({ idToken, accessToken } = await auth.signedIn('alice')));
    assert.deepEqual(names(entries), ['sign-in success', 'consent success', 'token-issue success']);
    for (const entry of entries) {
      assert.equal(entry.accountId, alice.id);
      assert.equal(entry.clientId, demoWeb.id);
      assert.equal(entry.address, '127.0.0.1');
      assert.match(String(entry.requestId), /^[\w-]{8,64}$/);
    }
    const { jti, gid, aud } = decodeJwt<{ gid: string }>(accessToken);
    assert.deepEqual(entries[0]?.detail, { by: 'password' });
    assert.deepEqual(entries[1]?.detail, {
      scopes: ['openid', 'profile', 'offline_access', 'orders:write', 'items:read'],
    });
    const scope = 'openid profile orders:write items:read';
    assert.deepEqual(entries[2]?.detail, {
      jti,
      gid,
      audience: aud,
      grant: 'authorization_code',
      scope,
    });
    assert.ok(idToken);
  });

  test('J33 an exchange is recorded with the service that acts, the account that it acts for, and where', async () => {
    const subject = (await auth.password({ scope: 'orders:write' })).body.access_token;
    let exchanged = '';
    const entries = await recorded(async () => {
      const form = {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: subject,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        audience: 'urn:gatehouse:items',
        scope: 'items:read',
      };
      exchanged = (await auth.token(form, orders)).body.access_token;
    });
    assert.deepEqual(names(entries), ['token-issue success']);
    const { jti, gid, aud, scope, act } = decodeJwt<{ gid: string; act: { sub: string } }>(exchanged);
    assert.deepEqual([entries[0]?.clientId, entries[0]?.accountId], [act.sub, demoAccounts.johndoe.id]);
    const grant = 'urn:ietf:params:oauth:grant-type:token-exchange';
    assert.deepEqual(entries[0]?.detail, { jti, gid, audience: aud, grant, scope });
  });

  test('the request id of the record is the one of the answer', async () => {
    const entries = await recorded(async () => {
      const body = new URLSearchParams({ grant_type: 'client_credentials', scope: 'items:read' });
      const headers = { authorization: basic(reporting), 'x-request-id': 'some-request-id-1' };
      assert.equal((await auth.send('/token', { method: 'POST', body, headers })).status, 200);
    });
    assert.deepEqual(names(entries), ['token-issue success']);
    assert.equal(entries[0]?.requestId, 'some-request-id-1');
    assert.equal(entries[0]?.accountId, null);
  });

  test('a refused sign-in names the account if there is one, and never what was typed', async () => {
    const refuse = (username: string) => async () => {
      const browser = auth.browser();
      const page = await browser.submit(await browser.open(authorizeUrl()), {
        username,
        password: 'wrong-pass',
      });
      assert.equal(page.status, 401);
    };
    const [known] = await recorded(refuse('Alice'));
    assert.equal(known?.outcome, 'failure');
    assert.equal(known?.accountId, alice.id);
    const [unknown] = await recorded(refuse('my-password-typed-here'));
    assert.equal(unknown?.event, 'sign-in');
    assert.equal(unknown?.accountId, null);
    assert.doesNotMatch(JSON.stringify([known, unknown]), /my-password-typed-here|wrong-pass|alice/i);
  });

  test('a denial is recorded, at sign-in and at consent', async () => {
    const entries = await recorded(async () => {
      const browser = auth.browser();
      await browser.submit(await browser.open(authorizeUrl()), {}, { button: 'Cancel' });
      const login = await browser.open(authorizeUrl());
      const page = await browser.submit(login, { username: 'alice', password: 'alice-demo-pass' });
      await browser.submit(page, {}, { button: 'Deny' });
    });
    assert.deepEqual(names(entries), ['sign-in failure', 'sign-in success', 'consent failure']);
    assert.deepEqual(entries[0]?.detail, { reason: 'denied' });
    assert.equal(entries[2]?.accountId, alice.id);
  });

  test('a refresh token and a code used a second time are recorded, and what was revoked', async () => {
    const { refreshToken } = await auth.signedIn();
    const { body } = await auth.refresh(refreshToken);
    await auth.refresh(body.refresh_token);
    const reused = await recorded(() => auth.refresh(refreshToken));
    assert.deepEqual(names(reused), ['refresh-reuse failure']);
    assert.equal(reused[0]?.accountId, alice.id);

    const code = redemption(await signIn(auth.browser()));
    const again = await recorded(async () => {
      await auth.token(code, demoWeb);
      assert.equal((await auth.token(code, demoWeb)).status, 400);
    });
    assert.deepEqual(names(again), ['token-issue success', 'code-reuse failure']);

    const tokens = await auth.signedIn();
    const revoked = await recorded(async () => {
      await auth.post('/revoke', { token: tokens.accessToken }, demoWeb);
      await auth.post('/revoke', { token: 'junk' }, demoWeb);
    });
    assert.deepEqual(names(revoked), ['revocation success']);
    const { jti, gid } = decodeJwt<{ gid: string }>(tokens.accessToken);
    assert.deepEqual(revoked[0]?.detail, { kind: 'AccessToken', jti, gid });
    assert.equal(revoked[0]?.accountId, alice.id);
    assert.equal(revoked[0]?.address, '127.0.0.1');
  });

  test('what a person answers to a device is recorded', async () => {
    const browser = auth.browser();
    await signIn(browser);
    const { user_code: code } = await requestCode(auth);
    const entries = await recorded(async () => {
      const confirm = await enterCode(browser, code);
      await browser.submit(confirm, {}, { button: 'This is not my device' });
    });
    assert.deepEqual(names(entries), ['device-approval failure']);
    assert.equal(entries[0]?.accountId, alice.id);
    const allowed = await recorded(async () => allowDevice(browser, await requestCode(auth)));
    assert.deepEqual(names(allowed), ['consent success', 'device-approval success']);
    assert.equal(allowed[1]?.clientId, 'demo-cli');
  });

  test('a client that fails to authenticate is recorded by its name if that is one, and else without', async () => {
    const form = { grant_type: 'client_credentials', scope: 'items:read' };
    const entries = await recorded(async () => {
      await auth.token(form, { id: reporting.id, secret: 'wrong' });
      await auth.post('/introspect', { token: 'x' }, { id: 'typed-a-password-here', secret: 'wrong' });
    });
    assert.deepEqual(names(entries), ['client-authentication failure', 'client-authentication failure']);
    assert.deepEqual(
      entries.map(({ clientId, detail }) => [clientId, detail]),
      [
        [reporting.id, { at: 'token' }],
        [null, { at: 'introspection' }],
      ],
    );
  });

  test('a browser that names an unknown client is no client that fails to authenticate', async () => {
    const entries = await recorded(async () => {
      for (const path of ['/logout', '/logout/success', '/authorize']) {
        assert.equal(
          (await auth.send(`${path}?client_id=nobody`, { headers: { accept: '*/*' } })).status,
          400,
        );
      }
    });
    assert.deepEqual(names(entries), []);
  });

  test('an account is told of from the newest event to the oldest, page by page, and of no other account', async () => {
    await auth.signedIn('bob');
    const reader = createAuditReader(auth.db);
    const whole = await reader.listForAccount(bob.id, { limit: 100 });
    assert.deepEqual(
      whole.map(({ event }) => event),
      ['token-issue', 'consent', 'sign-in'],
    );
    assert.ok(whole.every(({ accountId }) => accountId === bob.id));
    const first = await reader.listForAccount(bob.id, { limit: 2 });
    const rest = await reader.listForAccount(bob.id, { limit: 2, cursor: first[1]?.id });
    assert.deepEqual([...first, ...rest], whole);
  });

  test('rows cannot be changed, removed while young, or all removed at once', async () => {
    await auth.password();
    for (const statement of [
      sql`update auth.audit_events set event = 'nothing'`,
      sql`delete from auth.audit_events`,
      sql`truncate auth.audit_events`,
    ]) {
      await assert.rejects(
        async () => auth.db.execute(statement),
        (error: Error) => /append-only/.test(String(error.cause)),
      );
    }
    await auth.db.execute(sql`insert into auth.audit_events (event, outcome, at)
      values ('sign-in', 'success', now() - interval '31 days'), ('sign-in', 'success', now() - interval '29 days')`);
    await auth.db.execute(sql`delete from auth.audit_events where at < now() - interval '30 days'`);
    const [left] = await auth.db
      .select({ count: sql<number>`count(*)::int` })
      .from(auditEvents)
      .where(sql`at < now() - interval '1 day'`);
    assert.equal(left?.count, 1);
  });
});

suite('an audit log that cannot be written', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());
  const takeAway = () => auth.db.execute(sql`alter table auth.audit_events rename to taken_away`);
  const giveBack = () => auth.db.execute(sql`alter table auth.taken_away rename to audit_events`);

  async function without<Result>(work: () => Promise<Result>): Promise<Result> {
    await takeAway();
    try {
      return await work();
    } finally {
      await giveBack();
    }
  }

  test('a token that cannot be recorded is not handed out: 503', async () => {
    const { status, body, headers } = await without(() =>
      auth.token({ grant_type: 'client_credentials', scope: 'items:read' }, reporting),
    );
    assert.equal(status, 503);
    assert.equal(body.error, 'temporarily_unavailable');
    assert.equal(body.access_token, undefined);
    assert.ok(headers.get('retry-after'));
  });

  test('a refresh token whose use could not be recorded works when it is tried again', async () => {
    const { refreshToken } = await auth.signedIn();
    assert.equal((await without(() => auth.refresh(refreshToken))).status, 503);
    const { status, body } = await auth.refresh(refreshToken);
    assert.equal(status, 200);
    assert.equal((await auth.refresh(body.refresh_token)).status, 200);
  });

  test('nobody is signed in without a record', async () => {
    const browser = auth.browser();
    const login = await browser.open(authorizeUrl());
    const page = await without(() =>
      browser.submit(login, { username: 'alice', password: 'alice-demo-pass' }),
    );
    assert.equal(page.status, 500);
    assert.equal(
      (await browser.open(authorizeUrl({ prompt: 'none' }))).redirect?.includes('login_required'),
      true,
    );
  });

  test('a token that could not be recorded as revoked can be revoked again', async () => {
    const { accessToken } = await auth.signedIn();
    assert.equal((await without(() => auth.post('/revoke', { token: accessToken }, demoWeb))).status, 503);
    assert.equal(await auth.isActive(accessToken, demoWeb), true);
    assert.equal((await auth.post('/revoke', { token: accessToken }, demoWeb)).status, 200);
    assert.equal(await auth.isActive(accessToken, demoWeb), false);
  });
});

test('failures of strangers are recorded up to a bound, and counted beyond it', async () => {
  const metricsPort = String(await freePort());
  const auth = await startTestAuth({ env: { METRICS_PORT: metricsPort } });
  try {
    const attempts = mostFailures.ofNetwork + 5;
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      await auth.token({ grant_type: 'client_credentials' }, { id: explorer.id, secret: 'wrong' });
    }
    const { status } = await auth.token({ grant_type: 'client_credentials', scope: 'items:read' }, reporting);
    assert.equal(status, 200);
    const ofKind = (event: string) =>
      auth.db.select().from(auditEvents).where(sql`event = ${event}`).orderBy(auditEvents.id);
    assert.equal((await ofKind('client-authentication')).length, mostFailures.ofNetwork);
    assert.equal((await ofKind('token-issue')).length, 1);
    const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    const counter = (event: string, outcome: string, count: number) =>
      new RegExp(`^auth_events_total\\{event="${event}",outcome="${outcome}"\\} ${count}$`, 'm');
    assert.match(metrics, counter('client-authentication', 'failure', attempts));
    assert.match(metrics, counter('token-issue', 'success', 1));
    await auth.close();
    const summary = (await ofKind('client-authentication')).at(-1);
    assert.deepEqual(summary?.detail, { suppressed: 5 });
    assert.equal(summary?.address, null);
  } finally {
    await auth.close();
  }
});

test('what found no room is counted on until its number is written', async () => {
  let isAway = false;
  const written: { suppressed?: number }[] = [];
  const execute = async (query: SQL) => {
    if (isAway) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
    const rows = JSON.parse(String(query.queryChunks.find((chunk) => typeof chunk === 'string')));
    written.push(...rows.map(({ detail }: Entry) => detail).filter(({ suppressed = 0 }) => suppressed > 0));
  };
  const metrics = createMetrics('auth');
  const logger = createLogger({ name: 'auth', level: 'silent' });
  const audit = createAuditLog({ db: { execute } as unknown as Db, metrics, logger });
  for (let attempt = 0; attempt < mostFailures.ofNetwork + 5; attempt += 1)
    await audit.record({ event: 'sign-in', outcome: 'failure' });
  isAway = true;
  await audit.close();
  isAway = false;
  await audit.close();
  assert.deepEqual(written, [{ suppressed: 5 }]);
  await audit.close();
  assert.deepEqual(written, [{ suppressed: 5 }], 'and not again');
});

test(
  'whoever follows the record misses nothing, however long a transaction takes that has its entry',
  realServer('postgres'),
  async (t) => {
    const { url } = await startPostgres(t);
    const migrations = new URL('../migrations', import.meta.url);
    const logger = createLogger({ name: 'auth', level: 'silent' });
    const { db, close } = await openDatabase({ url }, { name: 'auth', migrations, logger });
    t.after(close);
    const reader = createAuditReader(db);
    const record = (tx: Db, name: string) =>
      insertAuditEvents(tx, [{ event: 'sign-in', outcome: 'success', detail: { name } }]);
    const seen: unknown[] = [];
    let last = '0';
    const look = async () => {
      for (const { id, detail } of await reader.listAfter(last, 100)) {
        last = id;
        seen.push((detail as { name: string }).name);
      }
    };
    const { promise: isOver, resolve: over } = Promise.withResolvers<void>();
    // Began first, and has the later entry, which is there first.
    const early = db.transaction(async (tx) => {
      await tx.execute(sql`select 1`);
      await isOver;
      await record(tx, 'second');
    });
    await delay(100);
    await db.transaction(async (tx) => {
      await record(tx, 'first');
      over();
      await early;
      await delay(1_200);
      await look();
    });
    await look();
    assert.deepEqual(seen, ['first', 'second']);
  },
);
