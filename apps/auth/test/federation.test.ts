import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import type { Browser, Page } from '@gatehouse/test-kit';
import { and, eq, like } from 'drizzle-orm';
import { generateKeyPair } from 'jose';
import { federationSettings } from '../src/federation/federation-settings.ts';
import { accounts, auditEvents, federatedIdentities, records } from '../src/schema.ts';
import { polyglot } from './interaction-app.ts';
import {
  authorizeUrl,
  demoWeb,
  issuer,
  redemption,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';
import { type Person, providerClient, startTestProvider, type TestProvider } from './start-test-provider.ts';

const callbackPath = '/interaction/federation/callback';
const fromOwnPage = { headers: { 'sec-fetch-site': 'same-origin' } };

describe('signing in at another provider', () => {
  let provider: TestProvider;
  let auth: TestAuth;
  before(async () => {
    provider = await startTestProvider();
    auth = await startTestAuth({
      env: {
        FEDERATION_ISSUER: provider.url,
        FEDERATION_NAME: 'Elsewhere <&>',
        FEDERATION_CLIENT_ID: providerClient.id,
        FEDERATION_CLIENT_SECRET: providerClient.secret,
      },
    });
  });
  after(async () => {
    await auth?.close();
    await provider?.close();
  });
  afterEach(() => {
    provider.person = { sub: 'somebody' };
    provider.refusal = undefined;
    provider.change = undefined;
    provider.signingKey = undefined;
    provider.answerWith(() => 'as usual');
  });

  const person = (more: Partial<Person> = {}): Person => ({ sub: `sub-${randomUUID()}`, ...more });
  const signInPage = (browser: Browser, changes: Record<string, string | undefined> = {}) =>
    browser.open(authorizeUrl({ scope: 'openid profile email', prompt: undefined, ...changes }));
  const linkOf = (page: Page) =>
    new URL(/<a class="button" href="([^"]+)"/.exec(page.text)?.[1] ?? assert.fail(page.text), issuer).href;

  /** The way there and through the provider: the address that it sends the browser back to. */
  async function answerFor(browser: Browser, page: Page): Promise<URL> {
    const there = await browser.open(linkOf(page), fromOwnPage);
    assert.equal(there.status, 303, there.text);
    const back = await browser.open(there.redirect ?? assert.fail('no redirect'));
    const answer = new URL(back.redirect ?? assert.fail(back.text));
    assert.equal(answer.origin + answer.pathname, issuer + callbackPath);
    return answer;
  }

  async function comeBack(browser: Browser, changes?: Record<string, string | undefined>): Promise<Page> {
    return browser.open((await answerFor(browser, await signInPage(browser, changes))).href);
  }

  /** All the way to what the client learns about the user. */
  async function whoIs(browser: Browser): Promise<Record<string, unknown>> {
    const consent = await comeBack(browser, { prompt: 'consent' });
    assert.match(consent.text, /<h1>Allow/);
    const { redirect } = await browser.submit(consent, {}, { button: 'Allow' });
    const tokens = await auth.post('/token', redemption(new URL(redirect ?? '')), demoWeb);
    assert.equal(tokens.status, 200, JSON.stringify(tokens.body));
    return (await auth.userinfo(tokens.body.access_token)).body;
  }

  const rowsOf = (subject: string) =>
    auth.db
      .select({ account: accounts })
      .from(federatedIdentities)
      .innerJoin(accounts, eq(accounts.id, federatedIdentities.accountId))
      .where(eq(federatedIdentities.subject, subject));

  /** Nobody is signed in, and the sign-in page says why. */
  async function assertRefused(browser: Browser, page: Page, status: number, notice: RegExp) {
    assert.equal(page.status, status, page.text);
    assert.match(page.text, /<p class="fault" role="alert">/);
    assert.match(page.text, notice);
    assert.match(page.text, /name="password"/);
    assert.match((await signInPage(browser)).text, /<h1>Sign in/);
    assert.deepEqual(await rowsOf(provider.person.sub), []);
  }

  test('the first sign-in makes an account, and every later one finds it again', async () => {
    provider.person = person({
      name: 'Maria \u202eElsewhere',
      preferred_username: 'Mária',
      email: 'maria@elsewhere.example',
      email_verified: true,
    });
    const first = await whoIs(auth.browser());
    const { preferred_username: username, sub, ...claims } = first;
    assert.match(String(username), /^maria-[\da-f]{10}$/);
    assert.deepEqual(claims, {
      name: 'Maria Elsewhere',
      email: 'maria@elsewhere.example',
      email_verified: true,
    });
    const [row] = await rowsOf(provider.person.sub);
    assert.equal(row?.account.id, sub);
    assert.equal(row?.account.passwordHash, null);
    assert.deepEqual(row?.account.roles, ['customer']);
    assert.deepEqual(await whoIs(auth.browser()), first);
    assert.equal((await rowsOf(provider.person.sub)).length, 1);
  });

  test('people with nothing but a subject, or with strange names, get accounts of their own', async () => {
    const odd: Partial<Person>[] = [
      {},
      { preferred_username: 'admin', name: '\u0000\u200b' },
      { preferred_username: '../..<script>', name: 'x'.repeat(5_000), email: 'not an address' },
      { preferred_username: 'alice' },
      { email: 'alice@example.com' },
      { email: 'ali\u202ece@example.com' },
      { email: 'alice@exa\u200bmple.com' },
    ];
    const usernames = new Set<unknown>();
    for (const claims of odd) {
      provider.person = person(claims);
      const { preferred_username: username, name, email } = await whoIs(auth.browser());
      assert.match(String(username), /^[a-z0-9][a-z0-9._-]*-[\da-f]{10}$/);
      assert.ok(String(name).length >= 1 && String(name).length <= 100);
      assert.equal(email, claims.email === 'alice@example.com' ? claims.email : undefined);
      usernames.add(username);
    }
    assert.equal(usernames.size, odd.length);
  });

  test('an e-mail address that an account here has does not open that account, verified or not', async () => {
    const { email, id } = demoAccounts.alice;
    for (const verified of [false, true]) {
      provider.person = person({ email, email_verified: verified, preferred_username: 'alice' });
      const { sub, email_verified: isVerified } = await whoIs(auth.browser());
      assert.notEqual(sub, id);
      assert.equal(isVerified, verified);
    }
    provider.person = Object.assign(person({ email }), { email_verified: 'true' });
    assert.equal((await whoIs(auth.browser())).email_verified, false);
  });

  test('the same subject at another provider is somebody else', async () => {
    provider.person = person();
    const [theirs] = await auth.db.select().from(accounts).where(eq(accounts.username, 'bob'));
    await auth.db
      .insert(federatedIdentities)
      .values({ issuer: 'https://other.example', subject: provider.person.sub, accountId: theirs?.id ?? '' });
    assert.notEqual((await whoIs(auth.browser())).sub, theirs?.id);
  });

  test('ten first sign-ins at once make one account', async () => {
    provider.person = person();
    const all = Promise.withResolvers<'as usual'>();
    let waiting = 0;
    provider.answerWith((path) => {
      if (path !== '/me') return 'as usual';
      waiting += 1;
      if (waiting === 10) all.resolve('as usual');
      return all.promise;
    });
    const subjects = await Promise.all(
      Array.from({ length: 10 }, async () => (await whoIs(auth.browser())).sub),
    );
    assert.equal(new Set(subjects).size, 1);
    const leftOver = await auth.db.select().from(accounts).where(like(accounts.username, 'user-%'));
    const linked = await auth.db.select().from(federatedIdentities);
    const ids = new Set(linked.map(({ accountId }) => accountId));
    assert.deepEqual(
      leftOver.filter(({ id }) => !ids.has(id)),
      [],
    );
  });

  test('a disabled account is refused', async () => {
    provider.person = person();
    const { sub } = await whoIs(auth.browser());
    await auth.db
      .update(accounts)
      .set({ disabledAt: new Date() })
      .where(eq(accounts.id, String(sub)));
    const browser = auth.browser();
    const page = await comeBack(browser);
    assert.equal(page.status, 403);
    assert.match(page.text, /role="alert">Your account here is disabled/);
    const [tried] = await auth.db
      .select()
      .from(auditEvents)
      .where(and(eq(auditEvents.accountId, String(sub)), eq(auditEvents.outcome, 'failure')));
    assert.deepEqual([tried?.event, tried?.detail], ['sign-in', { by: provider.url, reason: 'disabled' }]);
    assert.match((await signInPage(browser)).text, /<h1>Sign in/);
  });

  test('an account of another provider has no password that opens it', async () => {
    provider.person = person();
    const { preferred_username: username } = await whoIs(auth.browser());
    for (const password of ['', 'null', 'x']) {
      const browser = auth.browser();
      const page = await browser.submit(await signInPage(browser), { username: String(username), password });
      assert.equal(page.status, 401);
    }
  });

  test('the request carries state, nonce and PKCE S256, and its secrets stay here', async () => {
    const browser = auth.browser();
    const { redirect } = await browser.open(linkOf(await signInPage(browser)), fromOwnPage);
    const { searchParams } = new URL(redirect ?? '');
    const { state, nonce, code_challenge: challenge, ...rest } = Object.fromEntries(searchParams);
    assert.match(state ?? '', /^[\w-]+\.[\w-]{43}$/);
    assert.match(nonce ?? '', /^[\w-]{43}$/);
    assert.match(challenge ?? '', /^[\w-]{43}$/);
    assert.deepEqual(rest, {
      client_id: providerClient.id,
      redirect_uri: issuer + callbackPath,
      response_type: 'code',
      scope: 'openid profile email',
      code_challenge_method: 'S256',
    });
    const kept = JSON.stringify(
      await auth.db.select().from(records).where(eq(records.model, 'FederationAttempt')),
    );
    assert.ok(kept.length > 2);
    assert.ok(![state, nonce].some((secret) => kept.includes(secret ?? '')));
  });

  test('A40 the way out begins with a link of our own page, of this very interaction', async () => {
    const browser = auth.browser();
    const page = await signInPage(browser);
    const link = linkOf(page);
    const otherLink = linkOf(await signInPage(auth.browser()));
    const token = (address: string) => new URL(address).searchParams.get('csrf') ?? '';
    const form = page.forms[0]?.fields.csrf ?? '';
    for (const forged of ['', token(otherLink), form]) {
      const refused = await browser.open(link.replace(token(link), forged), fromOwnPage);
      assert.equal(refused.status, 403);
    }
    const abused = await browser.submit(page, { csrf: token(link), username: 'alice', password: 'x' });
    assert.equal(abused.status, 403);
    const crossSite = await browser.open(link, { headers: { 'sec-fetch-site': 'cross-site' } });
    assert.equal(crossSite.status, 403);
    assert.equal((await auth.browser().open(link, fromOwnPage)).status, 400);
  });

  test('an answer with a wrong, a missing or a doubled state signs nobody in', async () => {
    const browser = auth.browser();
    const answer = await answerFor(browser, await signInPage(browser));
    const state = answer.searchParams.get('state') ?? '';
    const other = state.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    for (const wrong of ['', 'junk', '../../evil', state.split('.')[0] ?? '', other]) {
      const changed = new URL(answer);
      changed.searchParams.set('state', wrong);
      const page = await browser.open(changed.href);
      assert.equal(page.status, 400, wrong);
      assert.match(page.text, /belongs to no sign-in/);
    }
    const doubled = new URL(answer);
    doubled.searchParams.append('state', state);
    assert.equal((await browser.open(doubled.href)).status, 400);
    // None of this spoils the true answer.
    assert.match((await browser.open(answer.href)).text, /<h1>Allow/);
  });

  test('an answer works once', async () => {
    provider.change = (claims) => ({ ...claims, nonce: 'another' });
    const browser = auth.browser();
    const answer = await answerFor(browser, await signInPage(browser));
    assert.equal((await browser.open(answer.href)).status, 502);
    provider.change = undefined;
    // The interaction still waits, so nothing but the state can stop this.
    const replayed = await browser.open(answer.href);
    assert.equal(replayed.status, 400);
    assert.match(replayed.text, /used already/);
  });

  test('an answer that comes too late signs nobody in', async () => {
    const browser = auth.browser();
    const answer = await answerFor(browser, await signInPage(browser));
    await auth.db
      .update(records)
      .set({ expiresAt: new Date(Date.now() - 1_000) })
      .where(eq(records.model, 'FederationAttempt'));
    const page = await browser.open(answer.href);
    assert.equal(page.status, 400);
    assert.match(page.text, /took too long/);
  });

  test('A11 A43 an answer is of no use in another browser, and stays good in its own', async () => {
    provider.person = person();
    const attacker = auth.browser();
    const answer = await answerFor(attacker, await signInPage(attacker));
    const victim = auth.browser();
    await signInPage(victim);
    const page = await victim.open(answer.href);
    assert.equal(page.status, 400);
    assert.match(page.text, /belongs to another browser/);
    assert.match((await signInPage(victim)).text, /<h1>Sign in/);
    assert.match((await attacker.open(answer.href)).text, /<h1>Allow/);
  });

  test('an answer is of no use in another interaction of the same browser, and stays good in its own', async () => {
    const browser = auth.browser();
    const answer = await answerFor(browser, await signInPage(browser));
    const other = linkOf(await signInPage(browser)).split('?')[0];
    const page = await browser.open(`${other}/answer${answer.search}`);
    assert.equal(page.status, 400);
    assert.match(page.text, /belongs to no sign-in/);
    assert.match((await browser.open(answer.href)).text, /<h1>Allow/);
  });

  test('A12 an answer of another issuer, or of none, is refused', async () => {
    for (const iss of ['https://evil.example', undefined]) {
      provider.person = person();
      const browser = auth.browser();
      const answer = await answerFor(browser, await signInPage(browser));
      if (iss) answer.searchParams.set('iss', iss);
      else answer.searchParams.delete('iss');
      const before = provider.requests.filter((path) => path === '/token').length;
      await assertRefused(browser, await browser.open(answer.href), 502, /could not be trusted/);
      assert.equal(provider.requests.filter((path) => path === '/token').length, before);
    }
  });

  test('A11 a code of somebody else is refused', async () => {
    provider.person = person();
    const [browser, attacker] = [auth.browser(), auth.browser()];
    const answer = await answerFor(browser, await signInPage(browser));
    const stolen = await answerFor(attacker, await signInPage(attacker));
    answer.searchParams.set('code', stolen.searchParams.get('code') ?? '');
    await assertRefused(browser, await browser.open(answer.href), 502, /could not be trusted/);
  });

  const seconds = () => Math.floor(Date.now() / 1000);
  const forgeries: Record<string, (claims: Record<string, unknown>) => Record<string, unknown>> = {
    'another nonce': (claims) => ({ ...claims, nonce: 'another' }),
    'no nonce': ({ nonce: _, ...claims }) => claims,
    'a past end': (claims) => ({ ...claims, iat: seconds() - 900, exp: seconds() - 300 }),
    'another issuer': (claims) => ({ ...claims, iss: 'https://evil.example' }),
    'another audience': (claims) => ({ ...claims, aud: 'another-client' }),
    'another authorized party': (claims) => ({ ...claims, aud: [providerClient.id, 'x'], azp: 'x' }),
    'no subject': ({ sub: _, ...claims }) => claims,
    'an overlong subject': (claims) => ({ ...claims, sub: 'x'.repeat(256) }),
    'a subject with a NUL': (claims) => ({ ...claims, sub: 'a\0b' }),
  };
  for (const [name, forge] of Object.entries(forgeries)) {
    test(`A51 an ID token with ${name} is refused`, async () => {
      provider.person = person();
      provider.change = forge;
      const browser = auth.browser();
      await assertRefused(browser, await comeBack(browser), 502, /could not be trusted/);
    });
  }

  test('A51 an ID token that another key signed is refused', async () => {
    provider.person = person();
    provider.signingKey = (await generateKeyPair('ES256')).privateKey;
    const browser = auth.browser();
    await assertRefused(browser, await comeBack(browser), 502, /could not be trusted/);
  });

  test('what the provider says when it signs nobody in is shown, and other ways stay open', async () => {
    for (const [refusal, status, notice] of [
      ['access_denied', 401, /Elsewhere &lt;&amp;&gt; did not sign you in/],
      ['temporarily_unavailable', 503, /does not answer at the moment/],
      ['"><script>alert(1)</script>', 401, /did not sign you in/],
    ] as const) {
      provider.person = person();
      provider.refusal = refusal;
      const browser = auth.browser();
      const page = await comeBack(browser);
      assert.doesNotMatch(page.text, /<script/);
      await assertRefused(browser, page, status, notice);
      const consent = await browser.submit(page, { username: 'alice', password: 'alice-demo-pass' });
      assert.match(consent.text, /<h1>Allow/);
    }
  });

  test('A45 a client that wants fresh credentials gets them, or nobody signed in', async () => {
    for (const fresh of [{ prompt: 'login' }, { max_age: '3600' }]) {
      provider.person = person();
      const browser = auth.browser();
      const stale = (age: number | undefined) => (claims: Record<string, unknown>) => {
        return { ...claims, auth_time: age && seconds() - age };
      };
      for (const age of [600, undefined]) {
        provider.change = stale(age);
        const page = await comeBack(browser, fresh);
        await assertRefused(browser, page, 401, /did not ask who you are just now/);
      }
      provider.change = undefined;
      assert.match((await comeBack(browser, fresh)).text, /<h1>Allow/);
    }
  });

  test('A50 what an answer says of its error is shown nowhere, and runs nowhere', async () => {
    const browser = auth.browser();
    for (const name of ['error', 'error_description', 'error_uri']) {
      provider.person = person();
      const answer = await answerFor(browser, await signInPage(browser));
      answer.searchParams.delete('code');
      answer.searchParams.set('error', 'server_error');
      answer.searchParams.set(name, polyglot);
      const page = await browser.open(answer.href);
      assert.ok(page.status >= 400, name);
      assert.match(page.text, /role="alert"/, name);
      assert.doesNotMatch(page.text, /<script|<img|alert\(1\)/, name);
      const own = await browser.open(
        `${issuer}/account/signed-in?error=x&${name}=${encodeURIComponent(polyglot)}`,
      );
      assert.match(own.text, /role="alert"/, name);
      assert.doesNotMatch(own.text, /<script|<img|alert\(1\)/, name);
    }
  });

  test('while the provider is down the page says so, and accounts of our own sign in', async () => {
    for (const how of ['never', 502] as const) {
      provider.person = person();
      const browser = auth.browser();
      const answer = await answerFor(browser, await signInPage(browser));
      provider.answerWith((path) => (path === '/token' ? how : 'as usual'));
      const page = await browser.open(answer.href);
      assert.ok(page.headers.get('retry-after'));
      await assertRefused(browser, page, 503, /does not answer at the moment/);
      assert.ok((await signIn(browser)).searchParams.has('code'));
    }
  });

  test('H36 the log has no code, state, token, address or name of a person in it', async () => {
    provider.person = person({ name: 'Nobody Knows', email: 'secret@elsewhere.example' });
    provider.change = (claims) => ({ ...claims, nonce: 'another', email: 'secret@elsewhere.example' });
    const browser = auth.browser();
    const answer = await answerFor(browser, await signInPage(browser));
    await browser.open(answer.href);
    provider.change = undefined;
    await whoIs(auth.browser());
    const log = auth.log.join('');
    const { code, state } = Object.fromEntries(answer.searchParams);
    for (const secret of [code, state, 'secret@elsewhere', 'Nobody Knows', providerClient.secret]) {
      assert.ok(!log.includes(secret ?? assert.fail()), secret);
    }
    // A random id may begin like a JWT, but does not go on like one.
    assert.doesNotMatch(log, /eyJ[\w-]+\.eyJ[\w-]+\./);
    assert.match(log, /"fault":"untrusted"/);
  });
});

const variablesFor = ({ url }: TestProvider) => ({
  FEDERATION_ISSUER: url,
  FEDERATION_NAME: 'Elsewhere',
  FEDERATION_CLIENT_ID: providerClient.id,
  FEDERATION_CLIENT_SECRET: providerClient.secret,
});

describe('a provider', () => {
  test('nothing waits for it at the start, its link answers 503, and it is back once it answers', async (t) => {
    const provider = await startTestProvider();
    t.after(() => provider.close());
    const auth = await startTestAuth({ env: variablesFor(provider) });
    t.after(() => auth.close());
    const browser = auth.browser();
    const link = async () =>
      issuer +
      (/href="(\/interaction\/[^"]+csrf[^"]+)"/.exec((await browser.open(authorizeUrl())).text)?.[1] ?? '');
    assert.deepEqual(provider.requests, []);
    for (const how of ['never', 500, 302] as const) {
      provider.answerWith(() => how);
      const page = await browser.open(await link(), fromOwnPage);
      assert.equal(page.status, 503);
      assert.match(page.text, /Elsewhere does not answer at the moment/);
      assert.ok((await signIn(auth.browser())).searchParams.has('code'));
    }
    provider.answerWith(() => 'as usual');
    for (const metadata of [
      { issuer: 'https://evil.example' },
      { authorization_endpoint: 'http://evil.example/authorize' },
      { authorization_endpoint: 'javascript:alert(1)' },
    ]) {
      provider.metadata = metadata;
      const page = await browser.open(await link(), fromOwnPage);
      assert.equal(page.status, 503);
      assert.doesNotMatch(page.text, /evil|javascript/);
    }
    provider.metadata = {};
    const there = await browser.open(await link(), fromOwnPage);
    assert.equal(there.status, 303);
    const asked = provider.requests.length;
    await browser.open(await link(), fromOwnPage);
    assert.equal(provider.requests.length, asked, 'what it said about itself is kept');

    provider.answerWith((path) => (path === '/jwks' ? 503 : 'as usual'));
    const back = await browser.open(there.redirect ?? '');
    assert.equal((await browser.open(back.redirect ?? '')).status, 503);
    provider.answerWith(() => 'as usual');
    const again = await browser.open((await browser.open(await link(), fromOwnPage)).redirect ?? '');
    assert.match((await browser.open(again.redirect ?? '')).text, /<h1>Allow/);
  });

  test('the preset for Google needs an id and a secret alone, and is offered by its name', async (t) => {
    const own = { FEDERATION_CLIENT_ID: 'some-id', FEDERATION_CLIENT_SECRET: 'some-secret' };
    assert.deepEqual(federationSettings({ FEDERATION_PRESET: 'google', ...own }), {
      issuer: 'https://accounts.google.com',
      name: 'Google',
      clientId: 'some-id',
      clientSecret: 'some-secret',
      authMethod: undefined,
    });
    const auth = await startTestAuth({ env: { FEDERATION_PRESET: 'google', ...own } });
    t.after(() => auth.close());
    const page = await auth.browser().open(authorizeUrl());
    assert.match(page.text, /Continue with <bdi>Google</);
    assert.ok((await signIn(auth.browser())).searchParams.has('code'));
  });

  test('the secret goes the way that the client was registered for', async (t) => {
    const post = 'client_secret_post';
    const cases: [variables: Record<string, string>, metadata: Record<string, unknown>][] = [
      [{ FEDERATION_CLIENT_AUTH_METHOD: post }, {}],
      [{}, { token_endpoint_auth_methods_supported: [post] }],
    ];
    for (const [variables, metadata] of cases) {
      const provider = await startTestProvider({ token_endpoint_auth_method: post });
      t.after(() => provider.close());
      provider.metadata = metadata;
      const auth = await startTestAuth({ env: { ...variablesFor(provider), ...variables } });
      t.after(() => auth.close());
      const browser = auth.browser();
      const [, link] =
        /href="(\/interaction\/[^"]+csrf[^"]+)"/.exec((await browser.open(authorizeUrl())).text) ?? [];
      const there = await browser.open(issuer + link, fromOwnPage);
      const back = await browser.open(there.redirect ?? '');
      assert.match((await browser.open(back.redirect ?? '')).text, /<h1>Allow/);
    }
  });

  test('without a provider nothing of it is to be seen', async (t) => {
    const auth = await startTestAuth();
    t.after(() => auth.close());
    const page = await auth.browser().open(authorizeUrl());
    assert.doesNotMatch(page.text, /Continue with|class="or"/);
    assert.equal((await auth.send(`${callbackPath}?state=x`)).status, 404);
  });
});
