import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, suite, test } from 'node:test';
import { createMetrics } from '@gatehouse/service-kit';
import type { Browser, Page } from '@gatehouse/test-kit';
import { limits } from '../src/limits/limits.ts';
import { oneAtATime } from '../src/limits/one-at-a-time.ts';
import {
  authorizeUrl,
  basic,
  demoWeb,
  firstParty,
  orders,
  reporting,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

test('what is for one key is done in turn, whatever becomes of it, and no more than so many wait', async () => {
  const inTurn = oneAtATime(2);
  const began: string[] = [];
  const first = Promise.withResolvers<string>();
  const ask = (name: string, key = 'key') =>
    inTurn(
      key,
      () => assert.fail('too many'),
      async () => {
        began.push(name);
        return name === 'first' ? first.promise : name;
      },
    );
  const outcomes = Promise.allSettled(['first', 'second', 'third', 'fourth'].map((name) => ask(name)));
  assert.equal(await ask('of another', 'other key'), 'of another');
  assert.deepEqual(began, ['first', 'of another']);
  first.reject(new Error('failed'));
  assert.deepEqual(
    (await outcomes).map((one) => (one.status === 'fulfilled' ? one.value : one.reason.message)),
    ['failed', 'second', 'third', 'too many'],
  );
  assert.equal(await ask('fifth'), 'fifth');
});

suite('limits', () => {
  let auth: TestAuth;
  const metrics = createMetrics('auth');
  before(async () => {
    auth = await startTestAuth({ metrics });
  });
  after(() => auth.close());

  // Every test has addresses of its own.
  let addresses = 0;
  const newAddress = () => `198.51.${Math.floor(++addresses / 250)}.${(addresses % 250) + 1}`;
  const from = (address: string) => ({ 'x-forwarded-for': address });

  const password = (address: string, form: Record<string, string>) =>
    auth.send('/token', {
      method: 'POST',
      headers: from(address),
      body: new URLSearchParams({
        grant_type: 'password',
        client_id: firstParty.id,
        scope: 'items:read',
        ...form,
      }),
    });
  const wrong = { username: 'alice', password: 'wrong' };
  const right = { username: 'alice', password: 'alice-demo-pass' };

  async function statuses(count: number, send: (round: number) => Promise<{ status: number }>) {
    const seen: number[] = [];
    for (let round = 0; round < count; round += 1) seen.push((await send(round)).status);
    return seen;
  }

  function assertWaits(headers: Headers, mostSeconds: number): void {
    const seconds = Number(headers.get('retry-after'));
    assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= mostSeconds, String(seconds));
  }

  suite('passwords', () => {
    const signIn = async (browser: Browser, address: string, fields: Record<string, string>): Promise<Page> =>
      browser.submit(await browser.open(authorizeUrl()), fields, { headers: from(address) });

    test('A47 after ten wrong passwords the right one is refused alike, and works from another address', async () => {
      const address = newAddress();
      assert.deepEqual(await statuses(10, () => password(address, wrong)), Array(10).fill(400));
      const [locked, lockedToo] = [await password(address, wrong), await password(address, right)];
      for (const { status, headers, body } of [locked, lockedToo]) {
        assert.equal(status, 429);
        assertWaits(headers, 900);
        assert.match(headers.get('content-type') ?? '', /^application\/json/);
        assert.deepEqual(body, {
          error: 'too_many_requests',
          error_description: 'Too many attempts. Please wait 15 minutes and try again.',
        });
      }
      assert.equal((await password(newAddress(), right)).status, 200);
    });

    test('A47 the sign-in page says that there were too many, and counts with the password grant', async () => {
      const address = newAddress();
      const browser = auth.browser();
      for (const status of await statuses(5, () => signIn(browser, address, wrong)))
        assert.equal(status, 401);
      await statuses(5, () => password(address, { ...wrong, username: ' ALICE ' }));
      for (const fields of [wrong, right]) {
        const page = await signIn(browser, address, fields);
        assert.equal(page.status, 429);
        assertWaits(page.headers, 900);
        assert.match(page.text, /<p class="fault" role="alert">Too many attempts\. Please wait 15 minutes/);
        assert.doesNotMatch(page.text, /do not match/);
      }
      assert.match((await signIn(browser, newAddress(), right)).text, /Allow/);
    });

    test('A46 an account that does not exist is refused as often, and in the same words', async () => {
      const address = newAddress();
      const answersFor = async (username: string) => {
        const answers = [];
        for (let round = 0; round < 12; round += 1) {
          const { status, body } = await password(address, { username, password: 'wrong' });
          answers.push({ status, body });
        }
        return answers;
      };
      const known = await answersFor('bob');
      assert.equal(known.filter(({ status }) => status === 429).length, 2);
      assert.deepEqual(await answersFor('nobody-at-all'), known);
    });

    test('A47 of thirty guesses at once ten are looked at', async () => {
      const address = newAddress();
      const answers = await Promise.all(Array.from({ length: 30 }, () => password(address, wrong)));
      assert.equal(answers.filter(({ status }) => status === 400).length, 10);
      assert.equal(answers.filter(({ status }) => status === 429).length, 20);
    });

    test('thirty sign-ins at once that are right are no guesses', async () => {
      const address = newAddress();
      const answers = await Promise.all(Array.from({ length: 30 }, () => password(address, right)));
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    });

    test('a right password forgives the wrong ones before it', async () => {
      const address = newAddress();
      for (let round = 0; round < 2; round += 1) {
        assert.deepEqual(await statuses(9, () => password(address, wrong)), Array(9).fill(400));
        assert.equal((await password(address, right)).status, 200);
      }
    });

    test('A47 one password tried on many accounts is throttled, and an account of one’s own wins nothing back', async () => {
      const address = newAddress();
      const spray = (round: number) =>
        password(address, { username: `user-${round}`, password: 'Summer2026!' });
      assert.deepEqual(await statuses(99, spray), Array(99).fill(400));
      assert.equal((await password(address, right)).status, 200);
      assert.equal((await spray(99)).status, 400);
      assert.equal((await password(address, right)).status, 429);
      assert.deepEqual(await statuses(400, (round) => spray(100 + round)), Array(400).fill(429));
      assert.equal((await password(newAddress(), right)).status, 200);
    });

    test('A47 one IPv6 network is one address', async () => {
      await statuses(10, (round) => password(`2001:db8:47:1::${round}`, wrong));
      assert.equal((await password('2001:db8:47:1:ffff::', right)).status, 429);
      assert.equal((await password('2001:db8:47:2::', right)).status, 200);
    });

    test('a password that could not be looked at is no wrong one', async (t) => {
      const address = newAddress();
      await statuses(9, () => password(address, wrong));
      await auth.db.execute('alter table auth.accounts rename to accounts_away');
      const back = () => auth.db.execute('alter table if exists auth.accounts_away rename to accounts');
      t.after(back);
      const answers = await statuses(5, () => password(address, right));
      await back();
      assert.deepEqual(answers, Array(5).fill(503));
      assert.equal((await password(address, right)).status, 200);
    });
  });

  suite('clients', () => {
    const endpoints = ['/token', '/introspect', '/revoke', '/device/authorize', '/par'];
    const asClient = (
      address: string,
      client: { id: string; secret: string },
      { path = '/token', accept = '*/*' } = {},
    ) =>
      auth.send(path, {
        method: 'POST',
        headers: { ...from(address), authorization: basic(client), accept },
        body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'items:read', token: 'x' }),
      });

    test('A21 of fifty wrong secrets twenty are looked at, at whichever endpoint, and the right one is refused then', async () => {
      const address = newAddress();
      const client = { ...reporting, secret: 'wrong' };
      const answers = await statuses(50, (round) =>
        // Whatever form the answer has.
        asClient(address, client, {
          path: endpoints[round % 5] ?? '',
          accept: round % 3 ? '*/*' : 'text/html',
        }),
      );
      assert.deepEqual(answers, [...Array(20).fill(401), ...Array(30).fill(429)]);
      const { status, headers, body } = await asClient(address, reporting);
      assert.equal(status, 429);
      assertWaits(headers, 600);
      assert.equal(headers.get('www-authenticate'), null);
      assert.equal(body.error, 'too_many_requests');
      assert.equal((await asClient(newAddress(), reporting)).status, 200);
      // Another client at the same address has done nothing wrong.
      assert.equal((await asClient(address, orders, { path: '/introspect' })).status, 200);
    });

    test('A21 of a hundred wrong secrets at once twenty are looked at', async () => {
      const address = newAddress();
      const client = { ...reporting, secret: 'wrong' };
      const answers = await Promise.all(Array.from({ length: 100 }, () => asClient(address, client)));
      assert.equal(answers.filter(({ status }) => status === 401).length, 20);
      assert.equal(answers.filter(({ status }) => status === 429).length, 80);
    });

    test('A21 a client that does not exist is refused as often, and its tries cost the others little', async () => {
      const address = newAddress();
      const answers = await statuses(200, (round) =>
        asClient(address, { id: `client-${round}`, secret: 'x' }),
      );
      assert.deepEqual(answers, [...Array(20).fill(401), ...Array(180).fill(429)]);
      const { status, headers } = await asClient(address, { id: 'client-0', secret: 'x' });
      assert.deepEqual([status, headers.get('www-authenticate')], [429, null]);
      assert.equal((await asClient(address, reporting)).status, 200);
    });

    test('A21 a network that has failed as five clients is refused as any client', async () => {
      const address = newAddress();
      for (const id of ['unknown', demoWeb.id, orders.id, reporting.id, firstParty.id]) {
        const answers = await statuses(20, () => asClient(address, { id, secret: 'wrong' }));
        assert.deepEqual(answers, Array(20).fill(401), id);
      }
      assert.equal((await asClient(address, reporting)).status, 429);
      assert.equal((await asClient(newAddress(), reporting)).status, 200);
    });

    test('a right secret is never counted', async () => {
      const address = newAddress();
      const answers = await statuses(150, () => asClient(address, reporting));
      assert.deepEqual(answers, Array(150).fill(200));
    });

    test('a network asks for so many device codes', async () => {
      const ask = (address: string) =>
        auth.send('/device/authorize', {
          method: 'POST',
          headers: from(address),
          body: new URLSearchParams({ client_id: 'demo-cli', scope: 'items:read' }),
        });
      const address = newAddress();
      assert.deepEqual(await statuses(100, () => ask(address)), Array(100).fill(200));
      const { status, headers, body } = await ask(address);
      assert.equal(status, 429);
      assertWaits(headers, 600);
      assert.equal(body.error, 'too_many_requests');
      assert.equal((await ask(newAddress())).status, 200);
    });
  });

  test('refusals are counted by limit, and logged without names or addresses', async () => {
    const address = newAddress();
    const read = async () => {
      const lines = (await metrics.registry.metrics()).split('\n');
      return Number(
        lines
          .find((line) => line.startsWith('auth_limited_total{limit="account-password"}'))
          ?.split(' ')[1] ?? 0,
      );
    };
    const before = await read();
    const name = 'somebody-to-be-kept-out-of-the-log';
    const answers = [];
    for (let round = 0; round < 12; round += 1)
      answers.push(await password(address, { username: name, password: 'wrong' }));
    assert.equal((await read()) - before, 2);
    const line = auth.log.findLast((text) => text.includes('"limited"')) ?? '';
    assert.equal(JSON.parse(line).limit, 'account-password');
    assert.equal(JSON.parse(line).requestId, answers.at(-1)?.headers.get('x-request-id'));
    assert.ok(!auth.log.some((text) => text.includes(name)));
  });

  test('the README shows the limits that there are', async () => {
    const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
    const section = readme.split('## Limits')[1]?.split('\n## ')[0] ?? '';
    const rows = [...section.matchAll(/^\| ([a-z-]+) \|.*\| (\d+) \| (\d+) \| (\d+) \|$/gm)];
    const shown = rows.map(([, name, ...numbers]) => [name, ...numbers.map(Number)]);
    const present = Object.entries(limits).map(([name, limit]) => {
      return [name, limit.most, limit.windowSeconds, limit.mostAlone];
    });
    assert.deepEqual(shown, present);
  });
});
