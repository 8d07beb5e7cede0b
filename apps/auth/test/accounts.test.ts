import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openEmbeddedPostgres } from '@gatehouse/embedded-postgres';
import { createLogger, type Db, openDatabase, Problem } from '@gatehouse/service-kit';
import { eq } from 'drizzle-orm';
import { createAccountStore, momentOfSignIn, type NewAccount } from '../src/accounts/accounts.ts';
import { accounts as table } from '../src/schema.ts';

describe('accounts', () => {
  let db: Db;
  let close: () => Promise<void>;
  before(async () => {
    const embedded = await openEmbeddedPostgres(undefined);
    const migrations = new URL('../migrations', import.meta.url);
    const logger = createLogger({ name: 'auth', level: 'silent' });
    ({ db } = await openDatabase({ embedded }, { name: 'auth', migrations, logger }));
    close = () => embedded.close();
  });
  after(() => close());

  const person = (username: string, password: string, more: Partial<NewAccount> = {}): NewAccount => ({
    id: randomUUID(),
    username,
    password,
    displayName: username,
    email: `${username}@example.com`,
    roles: ['customer'],
    disabled: false,
    ...more,
  });

  test('the right password gives the account, and find gives the same', async () => {
    const store = createAccountStore(db);
    const dora = person('dora', 'correct horse', { roles: ['customer', 'admin'] });
    await store.seed([dora]);
    const { password, ...account } = dora;
    const found = await store.find(dora.id);
    assert.ok(found?.createdAt instanceof Date);
    assert.deepEqual(found, {
      ...account,
      tokensNotBefore: 0,
      sessionsNotBefore: 0,
      createdAt: found.createdAt,
      readAt: found.readAt,
    });
    const authenticated = await store.authenticate('dora', password);
    assert.deepEqual({ ...authenticated, readAt: found.readAt }, found);
    assert.equal(await store.authenticate('dora', 'Correct horse'), undefined);
    assert.equal(await store.authenticate('nobody', password), undefined);
    assert.equal(await store.find(randomUUID()), undefined);
    assert.equal(await store.find("'; drop table accounts"), undefined);
  });

  test('a password is not changed when the account was disabled, or given another one, in the meantime', async () => {
    const store = createAccountStore(db);
    const wanda = person('wanda', 'wanda-password');
    await store.seed([wanda]);
    const changeTo = (next: string) => store.changeOfPassword(wanda.id, { current: 'wanda-password', next });
    const [first, second] = [await changeTo('wanda-first'), await changeTo('wanda-second')];
    const isWanda = eq(table.id, wanda.id);
    await db.update(table).set({ disabledAt: new Date() }).where(isWanda);
    await assert.rejects(async () => first?.(db), { status: 409 });
    await db.update(table).set({ disabledAt: null }).where(isWanda);
    await first?.(db);
    await assert.rejects(async () => second?.(db), { status: 409 });
    assert.equal((await store.authenticate('wanda', 'wanda-first'))?.id, wanda.id);
  });

  test('a disabled account is refused with its right password, and found as disabled', async () => {
    const store = createAccountStore(db);
    const erin = person('erin', 'erin-password', { disabled: true });
    await store.seed([erin]);
    assert.equal(await store.authenticate('erin', 'erin-password'), undefined);
    assert.equal((await store.find(erin.id))?.disabled, true);
    await db.update(table).set({ disabledAt: null }).where(eq(table.id, erin.id));
    assert.equal((await store.authenticate('erin', 'erin-password'))?.id, erin.id);
  });

  test('a sign-in that takes its time after the password was right counts from then', async () => {
    const store = createAccountStore(db);
    await store.seed([person('ivan', 'ivan-password')]);
    const account = await store.authenticate('ivan', 'ivan-password');
    const latest = Date.now() / 1000;
    await delay(1_100);
    assert.ok(account && momentOfSignIn(account) <= latest);
    assert.equal(momentOfSignIn({ ...account, sessionsNotBefore: latest + 2 }), latest + 2);
  });

  test('an account that is disabled, or changes its password, while the old one is checked, is refused', async () => {
    const store = createAccountStore(db);
    const changes = { fay: { disabledAt: new Date() }, gus: { passwordHash: 'another' } };
    for (const [name, change] of Object.entries(changes)) {
      const one = person(name, 'a-password-of-theirs');
      await store.seed([one]);
      // The embedded database takes one statement after the other: the account is read, then changed.
      const checked = store.authenticate(name, one.password);
      await db.update(table).set(change).where(eq(table.id, one.id));
      assert.equal(await checked, undefined, name);
    }
  });

  test('the password is kept as argon2id with 19 MiB, 2 passes and 1 lane, salted', async () => {
    const store = createAccountStore(db);
    const twins = [person('twin-a', 'the same password'), person('twin-b', 'the same password')];
    await store.seed(twins);
    const rows = await db.select().from(table).where(eq(table.displayName, 'twin-a'));
    assert.match(rows[0]?.passwordHash ?? '', /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    const [other] = await db.select().from(table).where(eq(table.displayName, 'twin-b'));
    assert.notEqual(rows[0]?.passwordHash, other?.passwordHash);
  });

  test('A48 no password is cut: those that differ after 72 bytes differ, and 1,024 characters count', async () => {
    const store = createAccountStore(db);
    const stem = 'x'.repeat(72);
    const longest = 'y'.repeat(1_023);
    await store.seed([
      person('seventy', `${stem}a`),
      person('thousand', `${longest}a`),
      person('emoji', '🔐🗝️🏰'),
    ]);
    assert.ok(await store.authenticate('seventy', `${stem}a`));
    assert.equal(await store.authenticate('seventy', `${stem}b`), undefined);
    assert.equal(await store.authenticate('seventy', stem), undefined);
    assert.ok(await store.authenticate('thousand', `${longest}a`));
    assert.equal(await store.authenticate('thousand', `${longest}b`), undefined);
    assert.equal(await store.authenticate('thousand', `${longest}aa`), undefined);
    assert.ok(await store.authenticate('emoji', '🔐🗝️🏰'));
  });

  test('A48 a password that is too long for any account costs no hash and is refused', async () => {
    const store = createAccountStore(db);
    await store.seed([person('endless', 'z'.repeat(1_025))]);
    assert.equal(await store.authenticate('endless', 'z'.repeat(1_025)), undefined);
  });

  test('A48 one character in two spellings is one password; characters that only look alike are two', async () => {
    const store = createAccountStore(db);
    await store.seed([person('zoë'.normalize('NFD'), 'pässword ﬁne'.normalize('NFC'))]);
    assert.ok(await store.authenticate(' ZOË '.normalize('NFC'), 'pässword ﬁne'.normalize('NFD')));
    assert.equal(await store.authenticate('zoë', 'pässword fine'), undefined);
    assert.equal(await store.authenticate('zoë', ' pässword ﬁne'), undefined);
  });

  test('two may seed at once, and seeding again changes nothing that is there', async () => {
    const store = createAccountStore(db);
    const finn = person('finn', 'first-password');
    await Promise.all([store, createAccountStore(db)].map((each) => each.seed([finn])));
    await db.update(table).set({ disabledAt: new Date() }).where(eq(table.id, finn.id));
    await store.seed([{ ...finn, password: 'second-password' }]);
    assert.equal((await store.find(finn.id))?.disabled, true);
    await db.update(table).set({ disabledAt: null }).where(eq(table.id, finn.id));
    assert.ok(await store.authenticate('finn', 'first-password'));
    assert.equal(await store.authenticate('finn', 'second-password'), undefined);
  });

  test('more sign-ins than can wait are told to come back, and those that wait are served', async () => {
    const store = createAccountStore(db);
    await store.seed([person('gail', 'gail-password')]);
    const crowd = await Promise.allSettled(
      Array.from({ length: 90 }, () => store.authenticate('gail', 'gail-password')),
    );
    const served = crowd.filter((outcome) => outcome.status === 'fulfilled');
    const turnedAway = crowd.filter((outcome) => outcome.status === 'rejected');
    assert.ok(turnedAway.length > 0 && served.length >= 50, `${served.length} of ${crowd.length} served`);
    assert.ok(served.every(({ value }) => value?.username === 'gail'));
    for (const { reason } of turnedAway) {
      assert.ok(reason instanceof Problem);
      assert.equal(reason.status, 503);
      assert.ok(reason.headers['Retry-After']);
    }
    assert.ok(await store.authenticate('gail', 'gail-password'), 'and the door is open again');
  });
});
