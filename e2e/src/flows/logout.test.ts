import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildEndSessionUrl, refreshTokenGrant } from 'openid-client';
import { assertDies, assertLive } from '../revoked.ts';
import { authorizationRequest, signIn, walkPages } from '../sign-in.ts';

const home = 'http://localhost:9999/';

test("A26 J36 signing out ends the session, its refresh tokens and its live access tokens, and nobody else's", async (t) => {
  const { browser, config, tokens } = await signIn('alice', 'openid offline_access profile:read items:read');
  const { tokens: elsewhere } = await signIn('alice', 'openid profile:read');
  await assertLive(tokens.access_token);

  const parameters = { id_token_hint: tokens.id_token ?? '', post_logout_redirect_uri: home, state: 'bye' };
  const question = await browser.open(buildEndSessionUrl(config, parameters).href);
  const { redirect } = await browser.submit(question, {}, { button: 'Sign out' });
  assert.equal(redirect, `${home}?state=bye`);

  t.diagnostic(await assertDies(tokens.access_token));
  await assertLive(elsewhere.access_token);
  await assert.rejects(refreshTokenGrant(config, tokens.refresh_token ?? ''), { error: 'invalid_grant' });
  const { url } = await authorizationRequest('openid profile:read');
  const { steps } = await walkPages(browser, url, 'alice');
  assert.equal(steps[0], 'sign in');
});

test('A42 opening the sign-out page changes nothing, and it leads to registered addresses alone', async () => {
  const { browser, config, tokens } = await signIn('bob', 'openid profile:read');
  const id_token_hint = tokens.id_token ?? '';
  await browser.open(buildEndSessionUrl(config, { id_token_hint }).href);
  await assertLive(tokens.access_token);
  for (const target of ['https://evil.example/', 'http://localhost:9999/other', '//evil.example']) {
    const parameters = { id_token_hint, post_logout_redirect_uri: target };
    const page = await browser.open(buildEndSessionUrl(config, parameters).href);
    assert.equal(page.status, 400, target);
    assert.equal(page.redirect, undefined);
  }
});
