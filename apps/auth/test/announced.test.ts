import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { proofAlgorithms } from '@gatehouse/auth-middleware';
import { calculateJwkThumbprint, decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { assertion, authenticated } from './secure-client.ts';
import {
  authorizeUrl,
  basic,
  callback,
  demoWeb,
  explorer,
  issuer,
  redemption,
  reporting,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const posting = { id: 'posting', secret: 'a-secret-that-is-long-enough-for-it' };
const CLIENTS = JSON.stringify([
  {
    client_id: posting.id,
    client_name: 'Posts its secret',
    client_secret: posting.secret,
    token_endpoint_auth_method: 'client_secret_post',
    redirect_uris: [callback],
  },
]);

suite('what the metadata announces is what works', () => {
  let auth: TestAuth;
  // biome-ignore lint/suspicious/noExplicitAny: the document has whatever shape the test expects of it.
  let metadata: any;
  before(async () => {
    auth = await startTestAuth({ env: { CLIENTS } });
    metadata = (await auth.send('/.well-known/openid-configuration')).body;
  });
  after(() => auth.close());

  const post = (path: string, form: Record<string, string>, headers = {}) =>
    auth.send(path, { method: 'POST', body: new URLSearchParams(form), headers });

  test('every endpoint is there, and nothing is announced that no test knows', async () => {
    const endpoints = Object.entries<string>(metadata).filter(([name]) => /_endpoint$|^jwks_uri$/.test(name));
    assert.deepEqual(endpoints.map(([name, url]) => [name, url.replace(issuer, '')]).sort(), [
      ['authorization_endpoint', '/authorize'],
      ['device_authorization_endpoint', '/device/authorize'],
      ['end_session_endpoint', '/logout'],
      ['introspection_endpoint', '/introspect'],
      ['jwks_uri', '/.well-known/jwks.json'],
      ['pushed_authorization_request_endpoint', '/par'],
      ['revocation_endpoint', '/revoke'],
      ['token_endpoint', '/token'],
      ['userinfo_endpoint', '/userinfo'],
    ]);
    for (const [name, url] of endpoints) {
      const path = new URL(url).pathname;
      const [get, posted] = [await auth.send(path), await post(path, {})];
      assert.ok(get.status !== 404 && posted.status !== 404, name);
      assert.ok(get.status !== 405 || posted.status !== 405, name);
    }
    const others = Object.keys(metadata).filter((name) => !endpoints.some(([known]) => known === name));
    assert.deepEqual(others.sort(), [
      'authorization_response_iss_parameter_supported',
      'backchannel_logout_session_supported',
      'backchannel_logout_supported',
      'claim_types_supported',
      'claims_parameter_supported',
      'claims_supported',
      'code_challenge_methods_supported',
      'dpop_signing_alg_values_supported',
      'grant_types_supported',
      'id_token_signing_alg_values_supported',
      'introspection_endpoint_auth_methods_supported',
      'introspection_endpoint_auth_signing_alg_values_supported',
      'issuer',
      'request_uri_parameter_supported',
      'response_modes_supported',
      'response_types_supported',
      'revocation_endpoint_auth_methods_supported',
      'revocation_endpoint_auth_signing_alg_values_supported',
      'scopes_supported',
      'subject_types_supported',
      'token_endpoint_auth_methods_supported',
      'token_endpoint_auth_signing_alg_values_supported',
    ]);
  });

  test('every grant type is known to the token endpoint, and no other', async () => {
    const ask = async (grant_type: string) =>
      (await post('/token', { grant_type }, { authorization: basic(demoWeb) })).body.error;
    for (const grant of metadata.grant_types_supported) {
      assert.notEqual(await ask(grant), 'unsupported_grant_type', grant);
    }
    const others = [
      'implicit',
      'urn:openid:params:grant-type:ciba',
      'urn:ietf:params:oauth:grant-type:jwt-bearer',
    ];
    for (const grant of others) assert.equal(await ask(grant), 'unsupported_grant_type', grant);
  });

  test('A19 every way to authenticate works where it is announced, and no other does', async () => {
    const posted = { client_id: posting.id, client_secret: posting.secret };
    const ways: Record<string, () => Promise<[Record<string, string>, Record<string, string>?]>> = {
      none: async () => [{ client_id: explorer.id }],
      client_secret_basic: async () => [{}, { authorization: basic(demoWeb) }],
      client_secret_post: async () => [posted],
      private_key_jwt: async () => [await authenticated()],
    };
    const code = {
      grant_type: 'authorization_code',
      code: 'x',
      redirect_uri: callback,
      code_verifier: 'x'.repeat(43),
    };
    const expected = { '/token': [400, 'invalid_grant'], '/introspect': [200], '/revoke': [200] };
    const names = { '/token': 'token', '/introspect': 'introspection', '/revoke': 'revocation' };
    for (const [path, [status, error]] of Object.entries(expected)) {
      const announced = metadata[`${names[path as keyof typeof names]}_endpoint_auth_methods_supported`];
      assert.deepEqual([...announced].sort(), Object.keys(ways).sort(), path);
      for (const way of Object.values(ways)) {
        const [fields, headers] = await way();
        const answer = await post(path, { ...code, token: 'x', ...fields }, headers);
        assert.deepEqual(
          [answer.status, answer.body.error],
          [status, error],
          `${path} ${Object.keys(fields)}`,
        );
      }
      const algorithms = `${names[path as keyof typeof names]}_endpoint_auth_signing_alg_values_supported`;
      assert.deepEqual(metadata[algorithms], ['ES256', 'PS256', 'EdDSA']);
    }
    const secret = new TextEncoder().encode(posting.secret);
    const claims = {
      iss: posting.id,
      sub: posting.id,
      aud: issuer,
      jti: 'x',
      exp: Math.floor(Date.now() / 1000) + 60,
    };
    const symmetric = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(secret);
    assert.equal((await post('/token', { ...code, ...(await authenticated(symmetric)) })).status, 401);
    const forged = await assertion({}, { id: posting.id });
    assert.equal((await post('/token', { ...code, ...(await authenticated(forged)) })).status, 401);
  });

  test('every response mode brings a code, and no other does', async () => {
    for (const response_mode of metadata.response_modes_supported) {
      const browser = auth.browser();
      let page = await browser.open(authorizeUrl({ response_mode, scope: 'openid items:read' }));
      page = await browser.submit(page, { username: 'bob', password: 'bob-demo-pass' });
      if (!page.redirect) page = await browser.submit(page, {}, { button: 'Allow' }).catch(() => page);
      const code = {
        query: () => new URL(page.redirect ?? '').searchParams.get('code'),
        fragment: () => new URLSearchParams(new URL(page.redirect ?? '').hash.slice(1)).get('code'),
        form_post: () => page.forms[0]?.fields.code,
      }[response_mode as string];
      assert.ok(code?.(), `${response_mode}: ${page.text}`);
    }
    for (const response_mode of ['jwt', 'query.jwt', 'web_message']) {
      const { redirect, text } = await auth.browser().open(authorizeUrl({ response_mode }));
      assert.match(`${redirect} ${text}`, /unsupported_response_mode/, response_mode);
    }
  });

  test('A51 ID tokens are signed as announced, and a request names the issuer in its answer', async () => {
    assert.equal(metadata.authorization_response_iss_parameter_supported, true);
    const answer = await signIn(auth.browser());
    assert.equal(answer.searchParams.get('iss'), metadata.issuer);
    const { body } = await auth.token(redemption(answer), demoWeb);
    assert.deepEqual(metadata.id_token_signing_alg_values_supported, [
      decodeProtectedHeader(body.id_token).alg,
    ]);
    const told = (await auth.userinfo(body.access_token)).body;
    for (const claim of Object.keys(told)) assert.ok(metadata.claims_supported.includes(claim), claim);
  });

  test('proofs are taken with the algorithms that are announced, which are those of the gateway and the services', async () => {
    assert.deepEqual(metadata.dpop_signing_alg_values_supported, proofAlgorithms);
    for (const alg of ['ES256', 'EdDSA', 'PS256', 'RS256', 'ES384']) {
      const { publicKey, privateKey } = await generateKeyPair(alg);
      const jwk = await exportJWK(publicKey);
      const claims = {
        htm: 'POST',
        htu: metadata.token_endpoint,
        jti: alg,
        iat: Math.floor(Date.now() / 1000),
      };
      const dpop = await new SignJWT(claims)
        .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk })
        .sign(privateKey);
      const form = { grant_type: 'client_credentials', scope: 'items:read' };
      const { status, body } = await post('/token', form, { authorization: basic(reporting), dpop });
      if (!proofAlgorithms.includes(alg)) {
        assert.deepEqual([status, body.error], [400, 'invalid_dpop_proof'], alg);
        continue;
      }
      assert.equal(status, 200);
      const told = (await auth.post('/introspect', { token: body.access_token }, reporting)).body;
      assert.equal(told.cnf.jkt, await calculateJwkThumbprint(jwk));
    }
  });
});
