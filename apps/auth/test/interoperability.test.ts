import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import * as oauth from 'oauth4webapi';
import { allowDevice, cli } from './device-flow.ts';
import {
  callback,
  demoWeb,
  firstParty,
  issuer,
  orders,
  reporting,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

// A second library, by the same rules: it checks whatever the specifications let a client check. openid-client drives
// the same flows through the gateway in e2e.
suite('every flow by oauth4webapi', () => {
  let auth: TestAuth;
  let as: oauth.AuthorizationServer;
  const options = {
    [oauth.allowInsecureRequests]: true,
    [oauth.customFetch]: (url: string, init: object) => fetch(url.replace(issuer, auth.url), init),
  };
  before(async () => {
    auth = await startTestAuth();
    const response = await oauth.discoveryRequest(new URL(issuer), { ...options, algorithm: 'oauth2' });
    as = await oauth.processDiscoveryResponse(new URL(issuer), response);
  });
  after(() => auth.close());

  const web: oauth.Client = { client_id: demoWeb.id };
  const webSecret = oauth.ClientSecretBasic(demoWeb.secret);

  /** Parameters of an authorization request, with what its answer is checked against. */
  async function newRequest({ client_id }: oauth.Client) {
    const checks = {
      verifier: oauth.generateRandomCodeVerifier(),
      state: oauth.generateRandomState(),
      nonce: oauth.generateRandomNonce(),
    };
    const parameters = {
      client_id,
      response_type: 'code',
      redirect_uri: callback,
      scope: 'openid profile offline_access items:read orders:write',
      prompt: 'consent',
      state: checks.state,
      nonce: checks.nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(checks.verifier),
      code_challenge_method: 'S256',
    };
    return { parameters, checks };
  }

  function authorizationUrl(parameters: Record<string, string>): string {
    assert.ok(as.authorization_endpoint);
    return `${as.authorization_endpoint}?${new URLSearchParams(parameters)}`;
  }

  async function signedIn(browser = auth.browser()) {
    const { parameters, checks } = await newRequest(web);
    const answer = await signIn(browser, authorizationUrl(parameters));
    const code = oauth.validateAuthResponse(as, web, answer, checks.state);
    const response = await oauth.authorizationCodeGrantRequest(
      as,
      web,
      webSecret,
      code,
      callback,
      checks.verifier,
      options,
    );
    const expected = { expectedNonce: checks.nonce, requireIdToken: true };
    const tokens = await oauth.processAuthorizationCodeResponse(as, web, response, expected);
    await oauth.validateApplicationLevelSignature(as, response, options);
    return { tokens, claims: oauth.getValidatedIdTokenClaims(tokens), answer, checks };
  }

  const introspect = async (token: string, client: oauth.Client, secret: oauth.ClientAuth) => {
    const response = await oauth.introspectionRequest(as, client, secret, token, options);
    return oauth.processIntrospectionResponse(as, client, response);
  };

  test('code with PKCE and nonce, refresh, userinfo, introspection and revocation', async () => {
    const { tokens, claims } = await signedIn();
    const refreshed = await oauth.processRefreshTokenResponse(
      as,
      web,
      await oauth.refreshTokenGrantRequest(as, web, webSecret, String(tokens.refresh_token), options),
    );
    assert.notEqual(refreshed.refresh_token, tokens.refresh_token);

    const info = await oauth.processUserInfoResponse(
      as,
      web,
      String(claims?.sub),
      await oauth.userInfoRequest(as, web, refreshed.access_token, options),
    );
    assert.equal(info.preferred_username, 'alice');

    assert.equal((await introspect(refreshed.access_token, web, webSecret)).active, true);
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(as, web, webSecret, refreshed.access_token, options),
    );
    assert.equal((await introspect(refreshed.access_token, web, webSecret)).active, false);
  });

  test('A12 an answer that names another issuer, or none, is refused by the client', async () => {
    const { answer, checks } = await signedIn();
    assert.equal(answer.searchParams.get('iss'), issuer);
    for (const iss of ['https://evil.example', `${issuer}/`, undefined]) {
      const forged = new URL(answer);
      forged.searchParams.delete('iss');
      if (iss) forged.searchParams.set('iss', iss);
      assert.throws(() => oauth.validateAuthResponse(as, web, forged, checks.state), {
        code: oauth.INVALID_RESPONSE,
      });
    }
  });

  test('A11 a code of somebody else, put into the answer that a client waits for, gets it nothing', async () => {
    const [attacker, victim] = [await newRequest(web), await newRequest(web)];
    const stolen = await signIn(auth.browser(), authorizationUrl(attacker.parameters), 'bob');
    assert.throws(() => oauth.validateAuthResponse(as, web, stolen, victim.checks.state));
    stolen.searchParams.set('state', victim.checks.state);
    const code = oauth.validateAuthResponse(as, web, stolen, victim.checks.state);
    const redeem = (verifier: string) =>
      oauth.authorizationCodeGrantRequest(as, web, webSecret, code, callback, verifier, options);
    const expected = { expectedNonce: victim.checks.nonce, requireIdToken: true };
    const refused = oauth.processAuthorizationCodeResponse(
      as,
      web,
      await redeem(victim.checks.verifier),
      expected,
    );
    await assert.rejects(refused, { error: 'invalid_grant' });
    // And if it knew the verifier, by its nonce.
    const answer = await redeem(attacker.checks.verifier);
    await assert.rejects(oauth.processAuthorizationCodeResponse(as, web, answer, expected), /nonce/);
  });

  test('client credentials', async () => {
    const client = { client_id: reporting.id };
    const secret = oauth.ClientSecretBasic(reporting.secret);
    const form = { scope: 'items:read' };
    const response = await oauth.clientCredentialsGrantRequest(as, client, secret, form, options);
    const tokens = await oauth.processClientCredentialsResponse(as, client, response);
    assert.equal(tokens.scope, 'items:read');
    const request = new Request('http://api.invalid/items', {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    });
    const claims = await oauth.validateJwtAccessToken(as, request, 'urn:gatehouse:api', options);
    assert.equal(claims.sub, reporting.id);
  });

  test('the device grant', async () => {
    const client = { client_id: cli.id };
    const form = { scope: 'openid items:read' };
    const asked = await oauth.deviceAuthorizationRequest(as, client, oauth.None(), form, options);
    const device = await oauth.processDeviceAuthorizationResponse(as, client, asked);
    assert.equal(device.interval, 5);
    await allowDevice(auth.browser(), device);
    const response = await oauth.deviceCodeGrantRequest(
      as,
      client,
      oauth.None(),
      device.device_code,
      options,
    );
    const tokens = await oauth.processDeviceCodeResponse(as, client, response);
    assert.ok(oauth.getValidatedIdTokenClaims(tokens)?.sub);
  });

  test('token exchange', async () => {
    const subject = (await auth.password({ scope: 'orders:write' })).body.access_token;
    const client = { client_id: orders.id };
    const secret = oauth.ClientSecretBasic(orders.secret);
    const form = {
      subject_token: subject,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'urn:gatehouse:items',
      scope: 'items:read',
    };
    const grant = 'urn:ietf:params:oauth:grant-type:token-exchange';
    const response = await oauth.genericTokenEndpointRequest(as, client, secret, grant, form, options);
    const tokens = await oauth.processGenericTokenEndpointResponse(as, client, response);
    assert.equal(tokens.issued_token_type, form.subject_token_type);
    assert.deepEqual((await introspect(tokens.access_token, client, secret)).act, { sub: orders.id });
    const wrong = oauth.None();
    const refused = await oauth.genericTokenEndpointRequest(
      as,
      { client_id: firstParty.id },
      wrong,
      grant,
      form,
      options,
    );
    await assert.rejects(oauth.processGenericTokenEndpointResponse(as, client, refused), {
      error: 'unauthorized_client',
    });
  });

  test('a pushed request, with a signed assertion and tokens bound to a key', async () => {
    const client: oauth.Client = { client_id: 'demo-secure' };
    const file = new URL('../../../infra/secrets/demo/demo-secure-key.json', import.meta.url);
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
    const jwk = JSON.parse(readFileSync(file, 'utf8'));
    const key = await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign']);
    const authentication = oauth.PrivateKeyJwt({ key, kid: jwk.kid });
    const bound = { ...options, DPoP: oauth.DPoP(client, await oauth.generateKeyPair('ES256')) };

    const { parameters, checks } = await newRequest(client);
    const pushed = await oauth.processPushedAuthorizationResponse(
      as,
      client,
      await oauth.pushedAuthorizationRequest(as, client, authentication, parameters, bound),
    );
    const { client_id } = client;
    const request = authorizationUrl({ client_id, request_uri: pushed.request_uri });
    const answer = await signIn(auth.browser(), request);
    const code = oauth.validateAuthResponse(as, client, answer, checks.state);
    const response = await oauth.authorizationCodeGrantRequest(
      as,
      client,
      authentication,
      code,
      callback,
      checks.verifier,
      bound,
    );
    const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, {
      expectedNonce: checks.nonce,
      requireIdToken: true,
    });
    assert.equal(tokens.token_type, 'dpop');
    const sub = String(oauth.getValidatedIdTokenClaims(tokens)?.sub);
    const info = await oauth.userInfoRequest(as, client, tokens.access_token, bound);
    assert.equal((await oauth.processUserInfoResponse(as, client, sub, info)).sub, sub);
    const refreshed = await oauth.processRefreshTokenResponse(
      as,
      client,
      await oauth.refreshTokenGrantRequest(as, client, authentication, String(tokens.refresh_token), bound),
    );
    assert.equal(refreshed.token_type, 'dpop');
  });

  test('RP-initiated logout ends the session and returns to the client', async () => {
    const browser = auth.browser();
    const { tokens } = await signedIn(browser);
    assert.ok(as.end_session_endpoint);
    const logout = new URL(as.end_session_endpoint);
    logout.searchParams.set('id_token_hint', String(tokens.id_token));
    logout.searchParams.set('post_logout_redirect_uri', 'http://localhost:9999/');
    logout.searchParams.set('state', 'after-logout');
    let page = await browser.open(logout.href);
    if (page.redirect === undefined) page = await browser.submit(page, {}, { button: 'Sign out' });
    assert.equal(page.redirect, 'http://localhost:9999/?state=after-logout');
    const { parameters } = await newRequest(web);
    const { prompt: _, ...silent } = parameters;
    const after = await browser.open(authorizationUrl({ ...silent, prompt: 'none' }));
    assert.match(after.redirect ?? '', /error=login_required/);
  });
});
