import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import {
  authorizeUrl,
  callback,
  demoWeb,
  explorer,
  issuer,
  pkce,
  redemption,
  reporting,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

suite('what an authorization request is answered with', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  const errorOf = ({ redirect }: { redirect?: string | undefined }) =>
    new URL(redirect ?? 'none:').searchParams.get('error');

  test('A13 the state comes back as it was, with a code, with an error, and from a page', async () => {
    const states = [
      'x'.repeat(2048),
      '"><script>alert(1)</script>',
      "';--{{7*7}}<%= 7 %>",
      'ünïcode ☃ 🦊 %00 %0d%0a + &a=b#c',
    ];
    for (const state of states) {
      const browser = auth.browser();
      assert.equal((await signIn(browser, authorizeUrl({ state }))).searchParams.get('state'), state);
      const refused = await browser.open(authorizeUrl({ state, scope: 'items:steal', nonce: undefined }));
      assert.equal(new URL(refused.redirect ?? '').searchParams.get('state'), state);
      assert.equal(errorOf(refused), 'invalid_scope');
      const posted = await browser.open(
        authorizeUrl({ state, response_mode: 'form_post', prompt: undefined, scope: 'openid' }),
      );
      assert.equal(posted.forms[0]?.fields.state, state);
      assert.equal(posted.text.includes('<script>alert'), false);
    }
  });

  test('A12 success and error name exactly the issuer, in every way of answering', async () => {
    const browser = auth.browser();
    assert.equal((await signIn(browser)).searchParams.get('iss'), issuer);
    for (const changes of [{ prompt: 'none' }, { response_type: 'token' }, { scope: 'nothing' }]) {
      const { redirect = '' } = await auth.browser().open(authorizeUrl(changes));
      const answer = new URLSearchParams(redirect.split(/[?#]/)[1]);
      assert.deepEqual([answer.get('iss'), answer.has('code')], [issuer, false], redirect);
    }
    const posted = { response_mode: 'form_post', prompt: undefined, scope: 'openid' };
    assert.equal((await browser.open(authorizeUrl(posted))).forms[0]?.fields.iss, issuer);
  });

  test('A41 A56 an answer with a code or a state in it tells no referrer, loads nothing and is framed by nobody', async () => {
    const browser = auth.browser();
    await signIn(browser);
    const silent = { prompt: undefined, scope: 'openid' };
    const posted = await browser.open(authorizeUrl({ ...silent, response_mode: 'form_post' }));
    assert.ok(posted.forms[0]?.fields.code);
    assert.doesNotMatch(posted.text, /<(link|img|iframe)|\ssrc=/);
    const answers = [posted, await browser.open(authorizeUrl(silent))];
    for (const mode of ['query', 'form_post']) {
      answers.push(await auth.browser().open(authorizeUrl({ prompt: 'none', response_mode: mode })));
    }
    for (const { headers, redirect, forms } of answers) {
      const state = forms[0]?.fields.state ?? new URL(redirect ?? 'none:').searchParams.get('state');
      assert.equal(state, 'some-state');
      assert.equal(headers.get('referrer-policy'), 'no-referrer');
      assert.equal(headers.get('x-frame-options'), 'DENY');
      assert.equal(headers.get('cache-control'), 'no-store');
      const policy = headers.get('content-security-policy') ?? '';
      assert.match(policy, /default-src 'none'.*frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    }
  });

  test('A34 a token is for the resource that was asked for, and two at once are refused', async () => {
    const resource = 'urn:gatehouse:api';
    const answer = await signIn(auth.browser(), authorizeUrl({ resource }));
    const { body } = await auth.token({ ...redemption(answer), resource }, demoWeb);
    assert.equal(decodeJwt(body.access_token).aud, resource);
    for (const other of ['urn:gatehouse:items', 'urn:gatehouse:accounts']) {
      const url = `${authorizeUrl({ resource })}&${new URLSearchParams({ resource: other })}`;
      assert.equal(errorOf(await auth.browser().open(url)), 'invalid_target', other);
    }
  });

  test('A34 the API may be asked for by the address in its metadata too, at one endpoint or at both', async () => {
    const audience = 'urn:gatehouse:api';
    const names = [issuer, `${issuer}/`, audience, undefined];
    for (const asked of names) {
      for (const redeemed of names) {
        const browser = auth.browser();
        const answer = await signIn(browser, authorizeUrl({ resource: asked }));
        const resource: Record<string, string> = redeemed === undefined ? {} : { resource: redeemed };
        const { status, body } = await auth.token({ ...redemption(answer), ...resource }, demoWeb);
        assert.equal(status, 200, `${asked}, then ${redeemed}`);
        const refreshed = (await auth.refresh(body.refresh_token, resource)).body;
        for (const { access_token } of [body, refreshed]) {
          assert.equal(decodeJwt(access_token).aud, audience);
          assert.match(String(decodeJwt(access_token).scope), /items:read/);
        }
      }
    }
    const form = { grant_type: 'client_credentials', scope: 'items:read' };
    for (const resource of [issuer, `${issuer}/`]) {
      const { body } = await auth.token({ ...form, resource }, reporting);
      assert.equal(decodeJwt(body.access_token).aud, audience);
    }
    const others = [`${issuer}/orders`, `${issuer}#`, `${issuer}1`, issuer.replace('http', 'https')];
    for (const resource of others) {
      const { body } = await auth.token({ ...form, resource }, reporting);
      const page = await auth.browser().open(authorizeUrl({ resource }));
      assert.deepEqual([body.error, errorOf(page)], ['invalid_target', 'invalid_target'], resource);
    }
  });

  test('A45 max_age=0 and prompt=login ask for the password again, and no page means login_required', async () => {
    const browser = auth.browser();
    await signIn(browser);
    const silent = { prompt: 'none', scope: 'openid' };
    assert.match((await browser.open(authorizeUrl(silent))).redirect ?? '', /[?&]code=/);
    for (const changes of [{ max_age: '0' }, { prompt: 'login' }]) {
      const page = await browser.open(authorizeUrl({ prompt: undefined, scope: 'openid', ...changes }));
      assert.ok(page.forms[0] && 'password' in page.forms[0].fields, JSON.stringify(changes));
    }
    assert.equal(errorOf(await browser.open(authorizeUrl({ ...silent, max_age: '0' }))), 'login_required');
  });

  test('A45 a hint of another user gives no code to whoever is signed in', async () => {
    const [alices, bobs] = [auth.browser(), auth.browser()];
    const { idToken } = await auth.signedIn('alice', alices);
    await auth.signedIn('bob', bobs);
    const hinted = authorizeUrl({ prompt: 'none', scope: 'openid', id_token_hint: idToken });
    assert.match((await alices.open(hinted)).redirect ?? '', /[?&]code=/);
    assert.equal(errorOf(await bobs.open(hinted)), 'login_required');
    assert.equal(errorOf(await bobs.open(`${hinted}x`)), 'invalid_request');
    const page = await bobs.open(
      authorizeUrl({ prompt: undefined, scope: 'openid', id_token_hint: idToken }),
    );
    assert.ok(page.forms[0] && 'password' in page.forms[0].fields);
  });

  test('A51 an ID token is signed as registered, for one client, for five minutes, about one and the same person', async () => {
    const keys = createLocalJWKSet((await auth.send('/.well-known/jwks.json')).body);
    const browser = auth.browser();
    const verified = async (form: Record<string, string>, client: { id: string; secret?: string }) => {
      const { body } = await auth.token(form, client);
      const checks = { issuer, audience: client.id, algorithms: ['ES256'], requiredClaims: ['exp', 'iat'] };
      const { payload } = await jwtVerify(body.id_token, keys, checks);
      assert.equal(payload.aud, client.id, 'for nobody else');
      assert.equal(Number(payload.exp) - Number(payload.iat), 300);
      const due = hash('sha256', body.access_token, 'buffer').subarray(0, 16).toString('base64url');
      assert.ok(payload.at_hash === undefined || payload.at_hash === due);
      return { payload, refreshToken: body.refresh_token };
    };
    const first = await verified(redemption(await signIn(browser, authorizeUrl({ nonce: 'one' }))), demoWeb);
    assert.equal(first.payload.nonce, 'one');
    const form = { grant_type: 'refresh_token', refresh_token: first.refreshToken };
    const refreshed = await verified(form, demoWeb);
    const redirect_uri = `${issuer}/explorer/callback`;
    const elsewhere = await signIn(
      auth.browser(),
      authorizeUrl({
        client_id: explorer.id,
        redirect_uri,
        prompt: undefined,
        scope: 'openid',
        nonce: undefined,
      }),
    );
    const other = await verified({ ...redemption(elsewhere), redirect_uri }, explorer);
    assert.equal(other.payload.nonce, undefined);
    const subs = [first, refreshed, other].map(({ payload }) => payload.sub);
    assert.deepEqual(new Set(subs), new Set(['a11ce000-0000-4000-8000-000000000001']));
  });

  test('A54 no token or handle of one kind is a code or a refresh token', async () => {
    const { accessToken, refreshToken, idToken } = await auth.signedIn();
    const { code = '' } = redemption(await signIn(auth.browser()));
    const handles = [
      accessToken,
      idToken,
      decodeJwt(accessToken).jti ?? '',
      String(decodeJwt(accessToken).gid),
      `AccessToken:${decodeJwt(accessToken).jti}`,
      `grant:${decodeJwt(accessToken).gid}`,
      `${refreshToken}\r\n`,
      `\0${refreshToken}`,
      `${'x'.repeat(10_000)}`,
    ];
    const asCode = { grant_type: 'authorization_code', redirect_uri: callback, code_verifier: pkce.verifier };
    for (const handle of [...handles, refreshToken, `RefreshToken:${refreshToken}`]) {
      const { status, body } = await auth.token({ ...asCode, code: handle }, demoWeb);
      assert.deepEqual([status, body.error], [400, 'invalid_grant'], handle.slice(0, 80));
    }
    for (const handle of [...handles, code, `RefreshToken:${refreshToken}`, `AuthorizationCode:${code}`]) {
      const { status, body } = await auth.refresh(handle);
      assert.deepEqual([status, body.error], [400, 'invalid_grant'], handle.slice(0, 80));
    }
    assert.equal((await auth.refresh(refreshToken)).status, 200);
    assert.equal((await auth.token({ ...asCode, code }, demoWeb)).status, 200);
  });
});
