import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eq, like, sql } from 'drizzle-orm';
import { compactVerify, decodeProtectedHeader, importJWK, type JWK } from 'jose';
import { listKeys, removeKey, rotateKeys } from '../src/keys/keys.ts';
import { createVault } from '../src/protocol/vault.ts';
import { auditEvents, signingKeys } from '../src/schema.ts';
import { newToken, startApi } from './key-set-api.ts';
import {
  demoWeb,
  encryptionKey,
  redemption,
  rowsOf,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const vault = createVault(encryptionKey);
/** What the audit log says of keys: what was done, by whom, to which. */
const changesOf = async (auth: TestAuth) =>
  (
    await auth.db.select().from(auditEvents).where(like(auditEvents.event, 'key-%')).orderBy(auditEvents.id)
  ).map(({ event, actorId, detail }) => [event, actorId, (detail as { kid: string }).kid]);
const kidOf = (token: string) => String(decodeProtectedHeader(token).kid);

suite('signing keys', () => {
  test('R13 J30 a rotation under steady load: not one 401, whether the key is new or retired', async (t) => {
    const auth = await start(t);
    const api = await startApi(t, auth);
    const before = await auth.signedIn();
    const code = await signIn(auth.browser());
    const oldKid = kidOf(before.accessToken);
    const newKid = await rotateKeys(auth.db, vault, { publishSeconds: 4 });
    assert.ok(newKid && newKid !== oldKid);

    let stopped = false;
    const seen = new Map<string, number>();
    const work = async () => {
      while (!stopped) {
        const token = await newToken(auth);
        assert.equal(await api.call(token), 200, `just signed by ${kidOf(token)}`);
        assert.equal(await api.call(before.accessToken), 200, 'signed long before');
        seen.set(kidOf(token), (seen.get(kidOf(token)) ?? 0) + 1);
        await delay(5);
      }
    };
    const load = Promise.all([work(), work(), work()]);
    await Promise.race([load, eventually(() => (seen.get(newKid) ?? 0) > 50)]);
    stopped = true;
    await load;
    assert.ok((seen.get(oldKid) ?? 0) > 0, 'the old key signed until the new one was known');

    assert.deepEqual(await kidsOf(auth), [newKid, oldKid]);
    assert.deepEqual(await changesOf(auth), [
      ['key-rotation', 'schedule', oldKid],
      ['key-rotation', 'schedule', newKid],
    ]);
    assert.equal((await auth.token(redemption(code), demoWeb)).status, 200);
    const refreshed = await auth.refresh(before.refreshToken);
    assert.equal(refreshed.status, 200);
    assert.equal(kidOf(refreshed.body.id_token), newKid);
    assert.equal(await auth.isActive(before.accessToken, demoWeb), true);
  });

  test('R13 a key is published first, signs next, is published on, and goes when its last token has died', async (t) => {
    const auth = await start(t);
    const { accessToken } = await auth.signedIn();
    const [oldKid] = await kidsOf(auth);
    const newKid = await rotateKeys(auth.db, vault, { publishSeconds: 3600 });
    assert.equal(await rotateKeys(auth.db, vault, { publishSeconds: 3600 }), newKid, 'one at a time');
    await eventually(async () => (await kidsOf(auth)).length === 2);
    assert.equal(kidOf(await newToken(auth)), oldKid);
    assert.deepEqual(await stages(auth), { [String(oldKid)]: 'signing', [String(newKid)]: 'published' });

    await later(auth, 3601);
    await eventually(async () => kidOf(await newToken(auth)) === newKid);
    assert.deepEqual(await stages(auth), { [String(oldKid)]: 'retired', [String(newKid)]: 'signing' });
    // Five minutes of life, and what clocks may differ.
    await later(auth, 6 * 60);
    await delay(1500);
    assert.deepEqual(await kidsOf(auth), [newKid, oldKid]);
    await later(auth, 60);
    await eventually(async () => (await kidsOf(auth)).length === 1);
    assert.deepEqual(await kidsOf(auth), [newKid]);
    assert.equal(await auth.isActive(accessToken, demoWeb), false);
    assert.deepEqual(await stages(auth), { [String(oldKid)]: 'removed', [String(newKid)]: 'signing' });
  });

  test('R13 an ID token of a key that went of age is taken as a hint for a session’s life, of a leaked one never', async (t) => {
    const auth = await start(t);
    const { idToken } = await auth.signedIn();
    const hinted = async () => (await auth.send(`/logout?id_token_hint=${idToken}`)).status;
    const [oldKid] = await kidsOf(auth);
    await rotateKeys(auth.db, vault, { publishSeconds: 0.001 });
    await later(auth, 8 * 60);
    await eventually(async () => !(await kidsOf(auth)).includes(oldKid));
    // Nobody is signed in here, so there is nothing to ask.
    assert.equal(await hinted(), 303);
    await later(auth, 14 * 24 * 60 * 60);
    await eventually(async () => (await privateParts(auth)) === 1);
    assert.equal(await hinted(), 400);

    const other = (await auth.signedIn('bob')).idToken;
    await removeKey(auth.db, vault, kidOf(other), 'somebody');
    await eventually(async () => !(await kidsOf(auth)).includes(kidOf(other)));
    assert.equal((await auth.send(`/logout?id_token_hint=${other}`)).status, 400);
  });

  test('R13 a key of the set age is followed by another by itself', async (t) => {
    const auth = await start(t, { KEY_ROTATION_DAYS: '30', KEY_PUBLISH_SECONDS: '1' });
    const [oldKid] = await kidsOf(auth);
    await later(auth, 30 * 24 * 60 * 60 - 60);
    await delay(1500);
    assert.equal((await kidsOf(auth)).length, 1);
    await later(auth, 60);
    await eventually(async () => kidOf(await newToken(auth)) !== oldKid);
    await delay(1500);
    assert.equal((await kidsOf(auth)).length, 2);
  });

  test('R14 a leaked key that is removed is worth nothing from the next fetch of the key set on', async (t) => {
    const auth = await start(t);
    const api = await startApi(t, auth);
    const { accessToken, refreshToken } = await auth.signedIn();
    assert.equal(await api.call(accessToken), 200);
    const leaked = kidOf(accessToken);
    await removeKey(auth.db, vault, leaked, 'somebody');
    await eventually(async () => !(await kidsOf(auth)).includes(leaked));
    assert.equal(await auth.isActive(accessToken, demoWeb), false);
    assert.equal((await auth.userinfo(accessToken)).status, 401);
    await eventually(async () => (await api.call(accessToken)) === 401);

    const { status, body } = await auth.refresh(refreshToken);
    assert.equal(status, 200);
    assert.notEqual(kidOf(body.access_token), leaked);
    await eventually(async () => (await api.call(body.access_token)) === 200);
    assert.equal(await privateParts(auth), 1);
    const [kept] = await auth.db.select().from(signingKeys).where(eq(signingKeys.kid, leaked));
    await compactVerify(accessToken, await importJWK(kept?.publicJwk as JWK));
    await assert.rejects(removeKey(auth.db, vault, leaked, 'somebody'), { message: `no key ${leaked}` });
    assert.deepEqual((await changesOf(auth)).slice(1), [
      ['key-removal', 'somebody', leaked],
      ['key-rotation', 'somebody', kidOf(body.access_token)],
    ]);
  });

  test('R14 when a new key is on its way already, that one signs at once', async (t) => {
    const auth = await start(t);
    const [leaked] = await kidsOf(auth);
    const next = await rotateKeys(auth.db, vault, { publishSeconds: 3600 });
    await removeKey(auth.db, vault, String(leaked), 'somebody');
    await eventually(async () => kidOf(await newToken(auth)) === next);
    assert.deepEqual(await kidsOf(auth), [next]);
  });

  test('R14 a key that does not sign yet, or no longer, is removed without another in its place', async (t) => {
    const auth = await start(t);
    const [oldKid] = await kidsOf(auth);
    await removeKey(
      auth.db,
      vault,
      String(await rotateKeys(auth.db, vault, { publishSeconds: 3600 })),
      'somebody',
    );
    const newKid = await rotateKeys(auth.db, vault, { publishSeconds: 0.001 });
    await eventually(async () => kidOf(await newToken(auth)) === newKid);
    await removeKey(auth.db, vault, String(oldKid), 'somebody');
    await eventually(async () => (await kidsOf(auth)).length === 1);
    assert.deepEqual(await kidsOf(auth), [newKid]);
  });
});

async function start(t: TestContext, env: Record<string, string> = {}): Promise<TestAuth> {
  const auth = await startTestAuth({ env });
  t.after(() => auth.close());
  return auth;
}

async function kidsOf(auth: TestAuth): Promise<(string | undefined)[]> {
  const { body } = await auth.send('/.well-known/jwks.json');
  return body.keys.map(({ kid }: { kid: string }) => kid);
}

const stages = async (auth: TestAuth) =>
  Object.fromEntries((await listKeys(auth.db)).map(({ kid, stage }) => [kid, stage]));

async function privateParts(auth: TestAuth): Promise<number> {
  const statement = sql`select count(*)::int as n from auth.signing_keys where sealed_private_jwk <> ''`;
  const [row] = await rowsOf(auth.db, statement);
  return Number(row?.n);
}

/** Makes all that was done with keys so many seconds older. */
async function later(auth: TestAuth, seconds: number): Promise<void> {
  const by = sql`make_interval(secs => ${seconds})`;
  await auth.db.execute(
    sql`update auth.signing_keys set created_at = created_at - ${by}, signs_from = signs_from - ${by}`,
  );
}

async function eventually(check: () => boolean | Promise<boolean>): Promise<void> {
  for (const until = Date.now() + 20_000; Date.now() < until; await delay(50)) {
    if (await check()) return;
  }
  assert.fail('not within 20 s');
}
