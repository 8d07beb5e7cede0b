import assert from 'node:assert/strict';
import { after, before, beforeEach, suite, test } from 'node:test';
import type { Page } from '@gatehouse/test-kit';
import { sql } from 'drizzle-orm';
import { tidy } from '../src/housekeeping.ts';
import { allowDevice, confirm, enterCode, poll, requestCode } from './device-flow.ts';
import { issuer, rowsOf, signIn, startTestAuth, type TestAuth } from './start-test-auth.ts';

suite('guessing user codes', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());
  beforeEach(async () => {
    await auth.db.execute(sql`delete from auth.code_guesses`);
  });

  const from = (address: string) => ({ 'x-forwarded-for': address });
  const refusal = /<h1>Too many wrong codes<\/h1>\n<p class="lead" role="alert">Please wait \d+ minutes/;

  function assertTooMany(page: Page): void {
    assert.equal(page.status, 429, page.text);
    const seconds = Number(page.headers.get('retry-after'));
    assert.ok(seconds > 0 && seconds <= 600, String(seconds));
    assert.match(page.text, refusal);
    assert.equal(page.forms.length, 0);
  }

  /** Ten wrong codes, which is how many there may be. */
  async function useUpGuesses(browser = auth.browser(), headers = (_round: number) => ({})) {
    for (let round = 0; round < 10; round += 1) {
      const page = await enterCode(browser, `ZZZZ-ZZZ${'BCDFGHJKLM'[round]}`, headers(round));
      assert.equal(page.status, 400);
      assert.match(page.text, /role="alert">That code is not right/);
    }
  }

  test('A30 after ten wrong codes from an address even the right one is 429 there, and works elsewhere', async () => {
    const code = await requestCode(auth);
    await useUpGuesses();
    assertTooMany(await enterCode(auth.browser(), 'ZZZZ-ZZZZ'));
    assertTooMany(await enterCode(auth.browser(), code.user_code));
    const elsewhere = await enterCode(auth.browser(), code.user_code, from('203.0.113.7'));
    assert.match(elsewhere.text, /Is this your device/);
  });

  test('A30 a session has ten guesses, wherever it goes', async () => {
    const code = await requestCode(auth);
    const browser = auth.browser();
    await useUpGuesses(browser, (round) => from(`203.0.113.${round}`));
    assertTooMany(await enterCode(browser, code.user_code, from('203.0.113.99')));
  });

  test('A30 an account has ten guesses, in all its sessions', async () => {
    const code = await requestCode(auth);
    const browsers = [auth.browser(), auth.browser(), auth.browser()] as const;
    for (const browser of browsers) await signIn(browser);
    for (let round = 0; round < 10; round += 1) {
      const browser = browsers[round % 2 === 0 ? 0 : 1];
      await enterCode(browser, `ZZZZ-ZZZ${'BCDFGHJKLM'[round]}`, from(`203.0.113.${round}`));
    }
    assertTooMany(await enterCode(browsers[2], code.user_code, from('203.0.113.99')));
    const bob = auth.browser();
    await signIn(bob, undefined, 'bob');
    assert.equal((await enterCode(bob, code.user_code, from('203.0.113.98'))).status, 200);
  });

  test('A30 one IPv6 network is one guesser', async () => {
    await useUpGuesses(undefined, (round) => from(`2001:db8:0:1::${round}`));
    assertTooMany(await enterCode(auth.browser(), 'ZZZZ-ZZZZ', from('2001:db8:0:1:ffff::')));
    assert.equal((await enterCode(auth.browser(), 'ZZZZ-ZZZZ', from('2001:db8:0:2::'))).status, 400);
  });

  test('A30 of twenty wrong codes at once ten are looked at', async () => {
    const pages = await Promise.all(Array.from({ length: 20 }, () => enterCode(auth.browser(), 'ZZZZ-ZZZZ')));
    assert.equal(pages.filter(({ status }) => status === 400).length, 10);
    assert.equal(pages.filter(({ status }) => status === 429).length, 10);
  });

  test('A30 a right code costs no guess, and wins none back', async () => {
    for (let round = 0; round < 9; round += 1) {
      await enterCode(auth.browser(), 'ZZZZ-ZZZZ');
      const code = await requestCode(auth);
      assert.match((await allowDevice(auth.browser(), code)).text, /Device connected/);
    }
    const own = await requestCode(auth);
    const browser = auth.browser();
    const question = await enterCode(browser, own.user_code);
    await enterCode(auth.browser(), 'ZZZZ-ZZZZ');
    assertTooMany(await enterCode(auth.browser(), 'ZZZZ-ZZZZ'));
    // The question was answered in time, but this address may try no code any more, not even that one.
    assertTooMany(await browser.submit(question, {}, { button: 'Continue' }));
  });

  test('A30 a code that was used is a wrong one', async () => {
    const code = await requestCode(auth);
    const browser = auth.browser();
    await browser.submit(await enterCode(browser, code.user_code), {}, { button: 'This is not my device' });
    for (let round = 0; round < 10; round += 1)
      assert.equal((await enterCode(auth.browser(), code.user_code)).status, 400);
    assertTooMany(await enterCode(auth.browser(), code.user_code));
  });

  test('what is over is deleted, and a code outlives its end long enough to be called expired', async () => {
    const [over, expired] = [await requestCode(auth), await requestCode(auth)];
    await enterCode(auth.browser(), over.user_code);
    const count = async (table: string): Promise<number> => {
      const [row] = await rowsOf(auth.db, sql`select count(*)::int n from auth.${sql.identifier(table)}`);
      return Number(row?.n);
    };
    await auth.db.execute(sql`update auth.device_codes set expires_at = now() - interval '601 seconds'`);
    await requestCode(auth);
    await poll(auth, expired.device_code);
    await auth.db.execute(
      sql`update auth.device_codes set expires_at = now() - interval '1 second' where polled_at > now() - interval '5 seconds'`,
    );
    const guesses = await count('code_guesses');
    await tidy(auth.db, { auditRetentionDays: 365 });
    assert.equal(await count('device_codes'), 2);
    assert.equal(await count('code_guesses'), guesses);
    await auth.db.execute(sql`update auth.code_guesses set expires_at = now() - interval '1 second'`);
    await tidy(auth.db, { auditRetentionDays: 365 });
    assert.equal(await count('code_guesses'), 0);
  });

  test('the limit is forgotten when its time is over', async () => {
    await useUpGuesses();
    await auth.db.execute(sql`update auth.code_guesses set expires_at = now() - interval '1 second'`);
    assert.equal((await enterCode(auth.browser(), 'ZZZZ-ZZZZ')).status, 400);
    const code = await requestCode(auth);
    assert.equal((await enterCode(auth.browser(), code.user_code)).status, 200);
  });

  test('A30 a code that ten others were guessed beside is void, wherever they came from', async () => {
    const [code, other] = [await requestCode(auth), await requestCode(auth)];
    const half = code.user_code.slice(0, 4);
    const guesses = [...'BCDFGHJKLMN'].map((letter) => `${half}-ZZZ${letter}`);
    for (const [round, guess] of guesses.filter((text) => text !== code.user_code).entries()) {
      if (round === 9) assert.equal((await poll(auth, code.device_code)).body.error, 'authorization_pending');
      if (round === 10) break;
      const page = await enterCode(auth.browser(), guess, from(`203.0.113.${round}`));
      assert.match(page.text, /That code is not right/);
    }
    const page = await enterCode(auth.browser(), code.user_code);
    assert.deepEqual([page.status, page.forms.length], [400, 1]);
    // Too soon as well as in time: the tenth guess came between the two.
    for (const polledAt of [sql`now()`, sql`null`]) {
      await auth.db.execute(sql`update auth.device_codes set polled_at = ${polledAt}`);
      const { status, body } = await poll(auth, code.device_code);
      assert.deepEqual([status, body.error], [400, 'expired_token']);
    }
    const unharmed = await enterCode(auth.browser(), other.user_code);
    assert.match(unharmed.text, /Is this your device/);
  });

  test('one answer of a user counts: two who confirm one code at once do not share a device', async () => {
    const code = await requestCode(auth);
    const [alice, bob] = [auth.browser(), auth.browser()];
    const questions = [await enterCode(alice, code.user_code), await enterCode(bob, code.user_code)] as const;
    const pages = await Promise.all([
      alice.submit(questions[0], {}, { button: 'Continue' }),
      bob.submit(questions[1], {}, { button: 'Continue' }),
    ]);
    assert.deepEqual(pages.map(({ status }) => status).sort(), [200, 400]);
    const late = await enterCode(auth.browser(), code.user_code);
    assert.match(late.text, /was used already/);
  });

  test('spelling does not matter: small letters, spaces, no hyphen', async () => {
    for (const spell of [
      (code: string) => code.toLowerCase(),
      (code: string) => ` ${code.replace('-', '')} `,
      (code: string) => [...code].join(' '),
    ]) {
      const code = await requestCode(auth);
      const browser = auth.browser();
      const question = await enterCode(browser, spell(code.user_code));
      assert.match(question.text, new RegExp(`<p class="user-code">${code.user_code}</p>`));
      assert.match((await confirm(browser, question)).text, /Device connected/);
      assert.equal((await poll(auth, code.device_code)).status, 200);
    }
  });

  test('what is no code is a wrong code', async () => {
    for (const nonsense of ['', '-', 'ü\0é', 'x'.repeat(10_000), '<script>', "' or 1=1 --"]) {
      const browser = auth.browser();
      const page = await enterCode(browser, nonsense, from('203.0.113.7'));
      assert.equal(page.status, 400);
      assert.match(page.text, /role="alert"/);
      assert.doesNotMatch(page.text, /<script/);
      assert.ok(page.url.startsWith(`${issuer}/device`));
    }
  });
});
