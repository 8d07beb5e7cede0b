import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { cpuMs } from '@gatehouse/test-kit';
import { dictionary } from '@zxcvbn-ts/language-common';
import { normalizeUsername } from '../src/accounts/accounts.ts';
import { hasPossibleLength, passwordFault } from '../src/accounts/passwords.ts';
import { newName, register, signInToAccount } from './registering.ts';
import { issuer, startTestAuth, type TestAuth } from './start-test-auth.ts';

suite('passwords', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  const signsIn = async (username: string, password: string) =>
    (await auth.password({ username, password })).status === 200;

  /** What is wrong with this password; undefined when somebody has it now. */
  async function fault(password: string, other: Record<string, string> = {}): Promise<string | undefined> {
    const username = newName();
    const { status, body } = await register(auth, { username, password, ...other });
    if (status === 202) {
      assert.ok(await signsIn(username, password), 'the account is there');
      return undefined;
    }
    assert.equal(status, 422);
    assert.deepEqual(
      body.errors.map(({ pointer }: { pointer: string }) => pointer),
      ['#/password'],
    );
    return body.errors[0].detail;
  }

  test('A48 V6.2.4 the passwords that are tried first are refused, in any case and backwards', async () => {
    const list = dictionary['passwords-common'];
    const fit = list.filter(({ length }) => length >= 8).slice(0, 3_000);
    assert.equal(fit.length, 3_000);
    for (const word of [...list.slice(0, 3_000), ...fit]) {
      for (const typed of [word, word.toUpperCase()]) assert.ok(passwordFault(typed, []), typed);
    }
    for (const word of ['password', 'Password1', fit[1_500] ?? '', fit[2_999] ?? '']) {
      assert.match((await fault(word)) ?? '', /tried first/, word);
    }
    assert.match((await fault('poiuytrewq')) ?? '', /tried first/);
  });

  test('A48 V6.2.1 seven characters are refused, eight are taken, whatever they are', async () => {
    assert.match((await fault('kxwpqzv')) ?? '', /at least 8 characters/);
    assert.match((await fault('🦊🦉🐝🦔🐙🦑🦜')) ?? '', /at least 8 characters/, 'seven, of two units each');
    assert.match(
      (await fault('e\u0301'.repeat(7))) ?? '',
      /at least 8 characters/,
      'seven, of two parts each',
    );
    assert.equal(await fault('kxwpqzvj'), undefined, 'V6.2.5 small letters alone');
    assert.equal(await fault('8305 7264'), undefined, 'digits alone');
    assert.equal(await fault('🦊🦉🐝🦔🐙🦑🦜🐢'), undefined);
  });

  test('A48 V6.2.9 long passwords are taken whole, and too long ones refused in words', async () => {
    for (const length of [64, 200, 1_024])
      assert.equal(await fault('kxwpq zv'.repeat(128).slice(0, length)), undefined);
    assert.equal(
      await fault('🦊🦉🐝🦔🐙🦑🦜🐢'.repeat(128)),
      undefined,
      '1,024 characters of two units each',
    );
    assert.match((await fault('kxwpq zv'.repeat(128).concat('k'))) ?? '', /at most 1024 characters/);
  });

  test('A48 V6.2.8 two passwords that differ in byte 73 are two passwords', async () => {
    const username = newName();
    const same = 'kxwpqzvj'.repeat(9);
    assert.equal((await register(auth, { username, password: `${same}a` })).status, 202);
    assert.equal(await signsIn(username, `${same}b`), false);
    assert.equal(await signsIn(username, same), false);
    assert.equal(await signsIn(username, `${same}a`.toUpperCase()), false);
    assert.equal(await signsIn(username, `${same}a `), false, 'nothing is trimmed');
    assert.ok(await signsIn(username, `${same}a`));
  });

  test('A48 the two spellings of one character are the same password', async () => {
    const username = newName();
    const password = 'größtes Café';
    assert.notEqual(password.normalize('NFD'), password.normalize('NFC'));
    assert.equal((await register(auth, { username, password: password.normalize('NFD') })).status, 202);
    assert.ok(await signsIn(username, password.normalize('NFC')));
    assert.ok(await signsIn(username, password.normalize('NFD')));
  });

  test('A48 a password as long as may be signs in, however the keyboard spells it', async () => {
    const username = newName();
    // In the other spelling three characters stand for each.
    const password = '각낙닥락막박삭악'.repeat(128);
    assert.equal((await register(auth, { username, password })).status, 202);
    for (const form of ['NFC', 'NFD']) {
      const browser = auth.browser();
      const account = await signInToAccount(browser, username, password.normalize(form));
      assert.equal(account.url, `${issuer}/account`, form);
    }
  });

  test('H32 A48 accents without end, which take long to put in order, are no password and no name', async () => {
    const accents = '\u0301'.repeat(30_000) + '\u0323'.repeat(30_000);
    const uses = [
      () => passwordFault(accents, []),
      () => passwordFault('seven grey herons', [accents]),
      () => hasPossibleLength(accents),
      () => normalizeUsername(accents),
    ];
    for (const use of uses) {
      const spent = await cpuMs(async () => void use(), 50);
      assert.ok(spent < 50, `${use} took ${spent} ms`);
    }
    assert.match((await fault(accents.slice(0, 30_000))) ?? '', /at most 1024 characters/);
  });

  test('a password with half a character in it is refused, since it would be another one too', async () => {
    assert.match((await fault('kxwpqzvj\ud800')) ?? '', /half a character/);
  });

  test('V6.2.11 a password that says little but who it is for is refused', async () => {
    for (const password of ['GatehouseGatehouse', 'gatehouse-2026', 'GATEHOUSEpassword1']) {
      assert.match((await fault(password)) ?? '', /too close/, password);
    }
    const username = newName();
    const named = await register(auth, { username, password: `${username}-1234` });
    assert.match(named.body.errors[0].detail, /too close/);
    assert.match((await fault('maria.lopez77', { email: 'Maria.Lopez@example.com' })) ?? '', /too close/);
    assert.equal(await fault('the gatehouse on the hill'), undefined, 'a word among others');
  });
});
