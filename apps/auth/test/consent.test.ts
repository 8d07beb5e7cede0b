import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { demoAccounts } from '@gatehouse/demo-data';
import { createLogger } from '@gatehouse/service-kit';
import type { Browser, Page } from '@gatehouse/test-kit';
import { eq, sql } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import { createAccountAccess } from '../src/accounts/account-access.ts';
import { createConsentStore } from '../src/interaction/consents.ts';
import { createVault } from '../src/protocol/vault.ts';
import { createRevocations } from '../src/revocation/revocation.ts';
import { consents, records } from '../src/schema.ts';
import { createSessions } from '../src/sessions/sessions.ts';
import {
  type Answer,
  authorizeUrl,
  demoWeb,
  encryptionKey,
  redemption,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const cli = { client_id: 'demo-cli', redirect_uri: 'http://127.0.0.1/callback' };

suite('consent', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  const url = (scope: string, changes: Record<string, string | undefined> = {}) =>
    authorizeUrl({ scope, prompt: undefined, ...changes });

  /** Asks as this account, signing in where that is needed, up to the consent page or the answer to the client. */
  async function ask(browser: Browser, address: string, username: string): Promise<Page> {
    const page = await browser.open(address);
    const isLogin = 'password' in (page.forms[0]?.fields ?? {});
    return isLogin ? browser.submit(page, { username, password: `${username}-demo-pass` }) : page;
  }

  const allow = (browser: Browser, page: Page) => browser.submit(page, {}, { button: 'Allow' });

  const codeOf = ({ redirect }: Page) => new URL(redirect ?? 'none:').searchParams.get('code');
  const errorOf = ({ redirect }: Page) => new URL(redirect ?? 'none:').searchParams.get('error');

  async function tokens({ redirect = '' }: Page): Promise<Answer['body']> {
    const { status, body } = await auth.token(redemption(new URL(redirect)), demoWeb);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  /** The scopes that a consent page asks for, and those that it says were allowed before. */
  function scopesOn({ text }: Page) {
    assert.match(text, /<h1>Allow /);
    const [first, details = ''] = text.split('<details>');
    const names = (part = '') => [...part.matchAll(/<code>([^<]+)<\/code>/g)].map(([, name]) => name).sort();
    return { asked: names(first), before: names(details) };
  }

  const scopesOf = (token: string) => String(decodeJwt(token).scope).split(' ').sort();

  const rowsOf = async (accountId: string) =>
    auth.db.select().from(consents).where(eq(consents.accountId, accountId));
  const grantRows = async () =>
    (await auth.db.select().from(records).where(eq(records.model, 'Grant'))).length;

  test('A55 what an account has allowed a client is not asked again: in the next session, in another browser', async () => {
    const browser = auth.browser();
    const page = await ask(browser, url('openid items:read'), 'alice');
    assert.deepEqual(scopesOn(page), { asked: ['items:read', 'openid'], before: [] });
    const first = await tokens(await allow(browser, page));

    const query = new URLSearchParams({ id_token_hint: first.id_token });
    await browser.submit(
      await browser.open(new URL(`/logout?${query}`, page.url).href),
      {},
      { button: 'Sign out' },
    );
    assert.equal((await auth.userinfo(first.access_token)).status, 401);

    for (const next of [browser, auth.browser()]) {
      const answer = await ask(next, url('openid items:read'), 'alice');
      const { access_token: accessToken } = await tokens(answer);
      const { scope, gid } = decodeJwt(accessToken);
      assert.equal(scope, 'openid items:read');
      assert.notEqual(gid, decodeJwt(first.access_token).gid);
      assert.equal((await auth.userinfo(accessToken)).status, 200);
    }
  });

  test('A55 a new scope is asked for with what was allowed before beside it, and both are in the token', async () => {
    const { id } = demoAccounts.bob;
    const browser = auth.browser();
    await allow(browser, await ask(browser, url('openid items:read'), 'bob'));
    const other = auth.browser();
    const page = await ask(other, url('openid items:read orders:read'), 'bob');
    assert.deepEqual(scopesOn(page), { asked: ['orders:read'], before: ['items:read', 'openid'] });
    const { access_token: accessToken } = await tokens(await allow(other, page));
    assert.deepEqual(scopesOf(accessToken), ['items:read', 'openid', 'orders:read']);

    // The first browser's session has a grant without it, and need not ask either.
    const again = await tokens(await ask(browser, url('openid orders:read'), 'bob'));
    assert.equal(decodeJwt(again.access_token).scope, 'openid orders:read');
    const [row] = await rowsOf(id);
    assert.deepEqual(row?.openidScopes, ['openid']);
    assert.deepEqual(row?.apiScopes, ['items:read', 'orders:read']);
  });

  test('A55 what another window has allowed meanwhile is not called new and allowed before at once', async () => {
    const browser = auth.browser();
    const address = url('openid items:read', cli);
    const first = await ask(browser, address, 'admin');
    const second = await browser.open(address);
    await allow(browser, first);
    const again = await browser.open(second.url);
    assert.deepEqual(scopesOn(again), { asked: ['items:read', 'openid'], before: [] });
    assert.match(again.text, /This application asks to:/);
  });

  test('A55 what was allowed before widens no token beyond what is asked for', async () => {
    const browser = auth.browser();
    await allow(
      browser,
      await ask(browser, url('openid items:read orders:write', { prompt: 'consent' }), 'alice'),
    );
    const answer = await ask(auth.browser(), url('openid items:read'), 'alice');
    const { access_token: accessToken } = await tokens(answer);
    assert.equal(decodeJwt(accessToken).scope, 'openid items:read');
  });

  test('A55 denied is access_denied, and nothing is remembered', async () => {
    const { id } = demoAccounts.carol;
    await auth.db.execute(sql`update auth.accounts set disabled_at = null where id = ${id}`);
    const browser = auth.browser();
    const page = await ask(browser, url('openid items:read'), 'carol');
    const denied = await browser.submit(page, {}, { button: 'Deny' });
    assert.equal(errorOf(denied), 'access_denied');
    assert.deepEqual(await rowsOf(id), []);
    assert.deepEqual(scopesOn(await ask(browser, url('openid items:read'), 'carol')).asked, [
      'items:read',
      'openid',
    ]);
  });

  test('A55 remembered or not, prompt=consent and native clients ask every time', async () => {
    const again = { prompt: 'consent' };
    for (const changes of [again, cli]) {
      const browser = auth.browser();
      await allow(browser, await ask(browser, url('openid items:read', changes), 'alice'));
      for (const next of [browser, auth.browser()]) {
        const page = await ask(next, url('openid items:read', changes), 'alice');
        assert.deepEqual(scopesOn(page).asked, ['items:read', 'openid']);
        assert.ok(codeOf(await allow(next, page)));
      }
    }
  });

  test('A55 prompt=none answers from what is remembered, and asking in vain leaves no grants behind', async () => {
    const browser = auth.browser();
    await allow(browser, await ask(browser, url('openid items:read', { prompt: 'consent' }), 'bob'));
    const other = auth.browser();
    // A session without a grant for this client.
    await ask(other, url('openid', cli), 'bob');
    const before = await grantRows();
    for (let count = 0; count < 3; count += 1) {
      const refused = await other.open(url('openid items:write', { prompt: 'none' }));
      assert.equal(errorOf(refused), 'consent_required');
      const asked = await other.open(url('openid items:read', { prompt: 'consent' }));
      assert.deepEqual(scopesOn(asked).asked, ['items:read', 'openid']);
    }
    assert.equal(await grantRows(), before);
    for (let count = 0; count < 3; count += 1) {
      assert.ok(codeOf(await other.open(url('openid items:read', { prompt: 'none' }))));
    }
    assert.equal(await grantRows(), before + 1);
  });

  test('A26 A55 consent withdrawn ends the tokens, and is asked for again', async (t) => {
    const { id } = demoAccounts.bob;
    const vault = createVault(encryptionKey);
    const revocations = createRevocations({
      db: auth.db,
      denylist: auth.denylist,
      logger: createLogger({ name: 'auth', level: 'silent' }),
    });
    t.after(() => revocations.close());
    const access = createAccountAccess({
      db: auth.db,
      vault,
      revocations,
      sessions: createSessions({ db: auth.db, vault, deliveries: { add: async () => {} } }),
    });

    const browser = auth.browser();
    const lasting = url('openid items:read offline_access', { prompt: 'consent' });
    const granted = await tokens(await allow(browser, await ask(browser, lasting, 'bob')));
    const { forget } = createConsentStore(auth.db);
    await access.endGrantsOf(id, demoWeb.id, { alongside: (tx) => forget(tx, id, demoWeb.id) });

    assert.equal(auth.isDenied(granted.access_token), true);
    assert.equal((await auth.refresh(granted.refresh_token)).body.error, 'invalid_grant');
    for (const next of [browser, auth.browser()]) {
      const page = await ask(next, url('openid items:read'), 'bob');
      assert.deepEqual(scopesOn(page), { asked: ['items:read', 'openid'], before: [] });
    }
    const renewed = await tokens(await allow(browser, await ask(browser, lasting, 'bob')));
    assert.equal(auth.isDenied(renewed.access_token), false);
  });
});
