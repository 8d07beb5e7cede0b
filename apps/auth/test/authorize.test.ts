import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { sql } from 'drizzle-orm';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import {
  authorizeUrl,
  callback,
  demoWeb,
  explorer,
  issuer,
  pkce,
  redemption,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

suite('authorization endpoint', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  /** The error that a request with these changes gives to the client. */
  async function refusal(changes: Record<string, string | undefined>): Promise<URLSearchParams> {
    const { redirect } = await auth.browser().open(authorizeUrl(changes));
    assert.ok(redirect?.startsWith(callback), `went to ${redirect}`);
    const url = new URL(redirect ?? '');
    return new URLSearchParams(url.search || url.hash.slice(1));
  }

  test('A12 A51 a code gives an access token, an ID token and a refresh token, and the answer names its issuer', async () => {
    const answer = await signIn(auth.browser());
    assert.equal(answer.searchParams.get('iss'), issuer);
    assert.equal(answer.searchParams.get('state'), 'some-state');
    const { status, body, headers } = await auth.token(redemption(answer), demoWeb);
    assert.equal(status, 200);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.equal(decodeProtectedHeader(body.access_token).typ, 'at+jwt');
    const claims = decodeJwt(body.access_token);
    assert.equal(claims.iss, issuer);
    assert.equal(claims.aud, 'urn:gatehouse:api');
    assert.equal(claims.client_id, demoWeb.id);
    assert.equal(claims.sub, 'a11ce000-0000-4000-8000-000000000001');
    assert.deepEqual(claims.roles, ['customer']);
    assert.equal(claims.scope, 'openid profile orders:write items:read');
    assert.equal(Number(claims.exp) - Number(claims.iat), 300);
    assert.ok(claims.jti && claims.gid);
    const idToken = decodeJwt(body.id_token);
    assert.equal(idToken.aud, demoWeb.id);
    assert.equal(idToken.nonce, 'some-nonce');
    assert.equal(typeof body.refresh_token, 'string');
  });

  test('A36 without offline_access there is no refresh token, and a public client redeems with its id alone', async () => {
    const redirect_uri = `${issuer}/explorer/callback`;
    const scope = 'openid items:read';
    const url = authorizeUrl({ client_id: explorer.id, redirect_uri, prompt: undefined, scope });
    const answer = await signIn(auth.browser(), url, 'bob');
    assert.ok(answer.href.startsWith(redirect_uri), answer.href);
    const { body } = await auth.token({ ...redemption(answer), redirect_uri }, explorer);
    assert.equal(body.scope, scope);
    assert.equal(body.refresh_token, undefined);
  });

  test('A03 A01 without a client or an exact redirect address there is a page, never a redirect', async () => {
    const variants: Record<string, string | undefined>[] = [
      { client_id: 'nobody' },
      { redirect_uri: undefined },
      { redirect_uri: undefined, client_id: explorer.id },
      { redirect_uri: `${callback}/` },
      { redirect_uri: `${callback}?a=b` },
      { redirect_uri: `${callback}#a` },
      { redirect_uri: 'http://localhost:9999@evil.example/callback' },
      { redirect_uri: 'http://localhost:9999/Callback' },
      { redirect_uri: 'http://localhost:9999/callback/../callback' },
      { redirect_uri: 'https://localhost:9999/callback' },
      { redirect_uri: 'http://localhost:9998/callback' },
      { redirect_uri: 'http://localhost/callback' },
      { redirect_uri: 'http://127.0.0.1:9998/callback' },
      { redirect_uri: 'http://LOCALHOST:9999/callback' },
      { redirect_uri: 'http://localhost.:9999/callback' },
      { redirect_uri: 'http://localhost:9999.evil.example/callback' },
      { redirect_uri: 'http://localhost:9999/%63allback' },
      { redirect_uri: 'http://localhost:9999/%2e%2e/callback' },
      { redirect_uri: 'http://localhost:9999/callback%2f..%2fother' },
      { redirect_uri: 'http://localhost:9999/callback/..;/other' },
      { redirect_uri: 'http://localhost:9999/callback%00' },
      { redirect_uri: 'http://localhost:9999/callback%0d%0aLocation:%20http://evil.example' },
      { redirect_uri: 'http://localhost:9999\\@evil.example/callback' },
      { redirect_uri: 'http:///localhost:9999/callback' },
      { redirect_uri: '//localhost:9999/callback' },
      { redirect_uri: '/callback' },
      { redirect_uri: ` ${callback}` },
      { redirect_uri: 'javascript:alert(1)' },
    ];
    for (const changes of variants) {
      const page = await auth.browser().open(authorizeUrl(changes));
      assert.equal(page.status, 400, JSON.stringify(changes));
      assert.equal(page.redirect, undefined);
      assert.match(page.headers.get('content-type') ?? '', /^text\/html/);
      assert.match(
        page.text,
        /role="alert">(?:Client is |Missing |redirect_uri did )/,
        JSON.stringify(changes),
      );
    }
  });

  test('A03 A14 a client or a redirect address that is there twice leads to a page, whichever is the right one', async () => {
    for (const [name, value] of [
      ['redirect_uri', callback],
      ['redirect_uri', 'https://evil.example/'],
      ['client_id', demoWeb.id],
      ['client_id', explorer.id],
    ] as const) {
      const url = `${authorizeUrl()}&${new URLSearchParams({ [name]: value })}`;
      const { status, redirect, headers } = await auth.browser().open(url);
      assert.deepEqual([status, redirect], [400, undefined], `${name} ${value}`);
      assert.match(headers.get('content-type') ?? '', /^text\/html/);
    }
  });

  test('A02 a native client may use any port of the loopback address, and no other name', async () => {
    const native = { client_id: 'demo-cli', scope: 'openid items:read' };
    for (const redirect_uri of ['http://127.0.0.1:51234/callback', 'http://[::1]:51234/callback']) {
      const page = await auth.browser().open(authorizeUrl({ ...native, redirect_uri }));
      assert.equal(page.status, 200, redirect_uri);
    }
    for (const redirect_uri of ['http://localhost:51234/callback', 'http://127.0.0.1:51234/other']) {
      assert.equal(
        (await auth.browser().open(authorizeUrl({ ...native, redirect_uri }))).status,
        400,
        redirect_uri,
      );
    }
  });

  test('A04 refuses every response type but code', async () => {
    for (const response_type of [
      'token',
      'id_token',
      'code token',
      'code id_token',
      'none',
      'id_token token',
    ]) {
      const error = await refusal({ response_type });
      assert.match(error.get('error') ?? '', /^unsupported_response_type$/, response_type);
      assert.equal(error.get('code'), null);
    }
    assert.equal((await refusal({ response_type: undefined })).get('error'), 'invalid_request');
  });

  test('A05 A07 refuses a request without a challenge, so that no verifier is needed, and with plain, for confidential clients and public ones', async () => {
    for (const client_id of [demoWeb.id, 'demo-cli']) {
      const client =
        client_id === demoWeb.id ? {} : { client_id, redirect_uri: 'http://127.0.0.1:9999/callback' };
      const variants = [
        { code_challenge: undefined, code_challenge_method: undefined },
        { code_challenge_method: 'plain' },
        { code_challenge_method: undefined },
        { code_challenge: 'too-short' },
      ];
      for (const changes of variants) {
        const { redirect } = await auth.browser().open(authorizeUrl({ ...client, ...changes }));
        const error = new URL(redirect ?? 'http://none').searchParams;
        assert.equal(error.get('error'), 'invalid_request', JSON.stringify({ client_id, ...changes }));
        assert.equal(error.get('iss'), issuer);
      }
    }
  });

  test('A15 parameters that nobody knows are ignored, at /authorize and at /token', async () => {
    const unknown = { foo: 'bar', resource_owner: 'x', 'response_type[]': 'token' };
    const answer = await signIn(auth.browser(), authorizeUrl(unknown));
    assert.equal(answer.searchParams.get('state'), 'some-state');
    assert.equal(answer.searchParams.has('foo'), false);
    const { status, body } = await auth.token({ ...redemption(answer), ...unknown }, demoWeb);
    assert.equal(status, 200);
    assert.ok(!('foo' in body));
  });

  test('A14 refuses any parameter that is there twice', async () => {
    const optional = { max_age: '60', login_hint: 'alice', response_mode: 'query', ui_locales: 'en' };
    const whole = new URL(authorizeUrl(optional));
    assert.equal((await auth.browser().open(whole.href)).status, 200);
    for (const [name, value] of [...whole.searchParams]) {
      const url = new URL(whole);
      url.searchParams.append(name, value);
      const page = await auth.browser().open(url.href);
      const error = page.redirect ? new URL(page.redirect).searchParams.get('error') : undefined;
      assert.ok(
        page.status === 400 || error === 'invalid_request',
        `${name}: ${page.status} ${page.redirect}`,
      );
    }
  });

  test('A34 refuses resources that it does not know, and scopes that nobody has', async () => {
    for (const resource of [
      'urn:gatehouse:items',
      'https://evil.example/',
      'urn:gatehouse:api#x',
      'nonsense',
    ]) {
      assert.equal((await refusal({ resource })).get('error'), 'invalid_target', resource);
    }
    assert.equal((await refusal({ scope: 'items:steal', nonce: undefined })).get('error'), 'invalid_scope');
    assert.equal((await refusal({ scope: 'users:admin', nonce: undefined })).get('error'), 'invalid_scope');
  });

  test('a form of another site brings a request as an address does, to whoever is signed in', async () => {
    const browser = auth.browser();
    await signIn(browser);
    const { origin, pathname, search } = new URL(authorizeUrl({ prompt: 'none', scope: 'openid profile' }));
    const headers = { origin: 'https://shop.example', 'sec-fetch-site': 'cross-site' };
    const sent = await browser.send(origin + pathname, search.slice(1), { headers, follow: false });
    assert.equal(sent.status, 303, 'with a GET, the cookies of the session come');
    const answer = new URL((await browser.open(sent.redirect ?? '')).redirect ?? 'none:');
    assert.ok(answer.searchParams.get('code'), answer.href);
    assert.equal(answer.searchParams.get('state'), 'some-state');
    const doubled = await browser.send(origin + pathname, `${search.slice(1)}&state=x`);
    assert.match(doubled.redirect ?? '', /error=invalid_request/);
    const json = { 'content-type': 'application/json' };
    assert.equal((await browser.send(origin + pathname, '{}', { headers: json })).status, 400);
    assert.equal((await browser.send(origin + pathname, `x=${'x'.repeat(9_000)}`)).status, 413);
  });

  test('A34 refuses a request that names no scope, before anybody is asked anything', async () => {
    for (const scope of [undefined, '', 'offline_access']) {
      for (const prompt of [undefined, 'consent']) {
        const answer = await refusal({ scope, prompt, nonce: undefined });
        assert.equal(answer.get('error'), 'invalid_scope', `${scope} ${prompt}`);
      }
    }
  });

  test('A45 answers login_required where no page may be shown', async () => {
    assert.equal((await refusal({ prompt: 'none' })).get('error'), 'login_required');
  });

  test('A44 cookies are out of reach of scripts and other sites, and a changed one counts for nothing', async () => {
    const browser = auth.browser();
    await signIn(browser);
    assert.ok(browser.cookies.length >= 2);
    for (const { name, attributes } of browser.cookies) {
      assert.ok('httponly' in attributes, name);
      assert.equal(attributes.samesite?.toLowerCase(), 'lax', name);
    }
    const silent = authorizeUrl({ prompt: 'none', scope: 'openid profile orders:write items:read' });
    assert.match((await browser.open(silent)).redirect ?? '', /[?&]code=/);
    const [session, signature] = ['session', 'session.sig'].map((cookie) =>
      browser.cookies.find(({ name }) => name === cookie),
    );
    assert.ok(session && signature);
    const signed = signature.value;
    for (const forged of ['', `${signed.slice(1)}A`, session.value]) {
      signature.value = forged;
      assert.match((await browser.open(silent)).redirect ?? '', /error=login_required/, forged);
    }
    signature.value = signed;
    session.value = `${session.value.slice(0, -1)}${session.value.endsWith('A') ? 'B' : 'A'}`;
    assert.match((await browser.open(silent)).redirect ?? '', /error=login_required/);
  });

  test('a session whose account was disabled has to sign in again', async () => {
    const browser = auth.browser();
    await signIn(browser, authorizeUrl(), 'admin');
    await auth.db.execute(sql`update auth.accounts set disabled_at = now() where username = 'admin'`);
    const page = await browser.open(authorizeUrl());
    assert.equal(page.status, 200);
    assert.ok(page.forms[0] && 'password' in page.forms[0].fields);
  });

  test('A02 A06 the loopback client gets no token without its verifier', async () => {
    const redirect_uri = 'http://127.0.0.1:51235/callback';
    const url = authorizeUrl({ client_id: 'demo-cli', redirect_uri, scope: 'openid items:read' });
    const answer = await signIn(auth.browser(), url);
    const form = { ...redemption(answer), redirect_uri, code_verifier: '' };
    const refused = await auth.token(form, { id: 'demo-cli' });
    assert.equal(refused.body.error, 'invalid_grant');
    const given = await auth.token({ ...form, code_verifier: pkce.verifier }, { id: 'demo-cli' });
    assert.equal(given.status, 200);
  });
});
