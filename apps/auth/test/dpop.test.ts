import assert from 'node:assert/strict';
import type { webcrypto } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { decodeJwt, importJWK } from 'jose';
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrlWithPAR,
  calculatePKCECodeChallenge,
  customFetch,
  discovery,
  fetchUserInfo,
  getDPoPHandle,
  PrivateKeyJwt,
  randomDPoPKeyPair,
  randomPKCECodeVerifier,
  randomState,
  refreshTokenGrant,
  tokenIntrospection,
  tokenRevocation,
} from 'openid-client';
import {
  authenticated,
  boundTokens,
  createProver,
  newCode,
  type Prover,
  post,
  requestOf,
  secure,
} from './secure-client.ts';
import {
  authorizeUrl,
  callback,
  demoWeb,
  explorer,
  firstParty,
  issuer,
  orders,
  redemption,
  reporting,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

suite('tokens bound to a key', () => {
  let auth: TestAuth;
  let prover: Prover;
  before(async () => {
    auth = await startTestAuth();
    prover = await createProver();
  });
  after(() => auth.close());

  const toToken = (changes = {}) => prover.proof('POST', '/token', changes);
  const userinfo = (scheme: string, token: string, proof?: string) =>
    auth.send('/userinfo', {
      headers: { authorization: `${scheme} ${token}`, ...(proof !== undefined && { dpop: proof }) },
    });

  test('openid-client pushes, signs assertions, and has its tokens bound, refreshed, introspected and revoked', async () => {
    const key = (await importJWK(secure.key, 'ES256')) as webcrypto.CryptoKey;
    const config = await discovery(
      new URL(issuer),
      secure.id,
      undefined,
      PrivateKeyJwt({ key, kid: String(secure.key.kid) }),
      {
        execute: [allowInsecureRequests],
        [customFetch]: (url, options) => fetch(url.replace(issuer, auth.url), options as RequestInit),
      },
    );
    const DPoP = getDPoPHandle(config, await randomDPoPKeyPair('ES256'));
    const [verifier, state] = [randomPKCECodeVerifier(), randomState()];
    const url = await buildAuthorizationUrlWithPAR(
      config,
      {
        redirect_uri: callback,
        scope: 'openid profile offline_access items:read',
        prompt: 'consent',
        state,
        code_challenge: await calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      },
      { DPoP },
    );
    const answer = await signIn(auth.browser(), url.href);
    const checks = { pkceCodeVerifier: verifier, expectedState: state };
    const tokens = await authorizationCodeGrant(config, answer, checks, undefined, { DPoP });
    assert.equal(tokens.token_type, 'dpop');
    const { sub = '' } = tokens.claims() ?? {};
    const claims = await fetchUserInfo(config, tokens.access_token, sub, { DPoP });
    assert.equal(claims.preferred_username, 'alice');

    const { refresh_token = '' } = tokens;
    const fresh = await refreshTokenGrant(config, refresh_token, undefined, { DPoP });
    assert.equal((await tokenIntrospection(config, fresh.access_token)).active, true);
    await tokenRevocation(config, fresh.access_token);
    assert.equal((await tokenIntrospection(config, fresh.access_token)).active, false);
    assert.equal(auth.isDenied(tokens.access_token), true);
  });

  test('a bound token is what every other is, and names its key', async () => {
    const { access_token, token_type } = await boundTokens(auth, prover);
    assert.equal(token_type, 'DPoP');
    const claims = decodeJwt<{ gid: string; roles: string[]; cnf: unknown }>(access_token);
    assert.deepEqual(claims.cnf, { jkt: prover.thumbprint });
    assert.deepEqual(claims.roles, ['customer']);
    assert.ok(claims.gid);
    assert.equal(claims.aud, 'urn:gatehouse:api');
  });

  test('a client that has its tokens bound gets none without a proof, and its code is not used up', async () => {
    const form = await newCode(auth);
    const without = await post(auth, '/token', form);
    assert.equal(without.body.error, 'invalid_grant');
    const { status, body } = await post(auth, '/token', form, await toToken());
    assert.equal(status, 200);
    const refresh = { grant_type: 'refresh_token', refresh_token: body.refresh_token };
    assert.equal((await post(auth, '/token', refresh)).body.error, 'invalid_grant');
    assert.equal((await post(auth, '/token', refresh, await toToken())).body.token_type, 'DPoP');
  });

  test('refuses a proof for another place or method, too old, too new, without an id, or of no key', async () => {
    const form = { grant_type: 'client_credentials', scope: 'items:read' };
    const at = (seconds: number) => ({ iat: Math.floor(Date.now() / 1000) + seconds });
    const other = await createProver();
    const [header, payload, signature] = (await toToken()).split('.');
    const [, , foreign] = (await other.proof('POST', '/token')).split('.');
    const proofs = [
      await prover.proof('POST', '/par'),
      await prover.proof('GET', '/token'),
      await toToken({ htu: `${auth.url}/token` }),
      await toToken(at(-400)),
      await toToken(at(400)),
      await toToken({ jti: '' }),
      await toToken({ iat: undefined }),
      `${header}.${payload}.${foreign}`,
      `${Buffer.from('{"alg":"none","typ":"dpop+jwt"}').toString('base64url')}.${payload}.`,
      `${header}.${payload}.${signature}, ${header}.${payload}.${signature}`,
      'nonsense',
    ];
    const headers = { authorization: `Basic ${btoa(`${reporting.id}:${reporting.secret}`)}` };
    for (const dpop of proofs) {
      const request = { method: 'POST', body: new URLSearchParams(form), headers: { ...headers, dpop } };
      const { status, body } = await auth.send('/token', request);
      assert.deepEqual({ status, error: body.error }, { status: 400, error: 'invalid_dpop_proof' }, dpop);
    }
  });

  test('a proof is good once, however many requests bring it at the same moment', async () => {
    const proof = await toToken();
    const headers = { authorization: `Basic ${btoa(`${reporting.id}:${reporting.secret}`)}`, dpop: proof };
    const body = 'grant_type=client_credentials&scope=items:read';
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const ask = () => auth.send('/token', { method: 'POST', body, headers: { ...headers, ...type } });
    const answers = await Promise.all(Array.from({ length: 20 }, ask));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const { status, body } of answers) {
      if (status !== 200) assert.deepEqual([status, body.error], [400, 'invalid_dpop_proof']);
    }
  });

  test('who brings a used proof hears that, at every endpoint, and what came with it stays good', async () => {
    const proofs = { token: await toToken(), par: await prover.proof('POST', '/par') };
    const { body } = await post(auth, '/token', await newCode(auth), proofs.token);
    const refresh = { grant_type: 'refresh_token', refresh_token: body.refresh_token };
    const token = body.access_token;
    const toUserinfo = await prover.proof('GET', '/userinfo', { token });
    assert.equal((await userinfo('DPoP', token, toUserinfo)).status, 200);
    assert.equal((await post(auth, '/par', requestOf(), proofs.par)).status, 201);
    const refused = [
      await userinfo('DPoP', token, toUserinfo),
      await post(auth, '/par', requestOf(), proofs.par),
      await post(auth, '/token', refresh, proofs.token),
    ];
    const told = refused.map(({ status, body }) => [status, body.error]);
    const error = 'invalid_dpop_proof';
    assert.deepEqual(told, [
      [401, error],
      [400, error],
      [400, error],
    ]);
    assert.match(refused[0]?.headers.get('www-authenticate') ?? '', /^DPoP .*error="invalid_dpop_proof"/);
    // A used assertion is no used proof, whatever proof is beside it.
    const form = { ...refresh, ...(await authenticated()) };
    assert.equal((await post(auth, '/token', form, await toToken())).status, 200);
    assert.equal((await post(auth, '/token', form, await toToken())).body.error, 'invalid_client');
  });

  test('a proof that is dated ahead is remembered for as long as it is taken', async (t) => {
    const now = Date.now();
    const dpop = await toToken({ iat: Math.floor(now / 1000) + 290 });
    const headers = { authorization: `Basic ${btoa(`${reporting.id}:${reporting.secret}`)}`, dpop };
    const body = new URLSearchParams({ grant_type: 'client_credentials', scope: 'items:read' });
    const ask = async () => (await auth.send('/token', { method: 'POST', body, headers })).status;
    assert.equal(await ask(), 200);
    t.mock.timers.enable({ apis: ['Date'], now });
    for (const seconds of [200, 310, 580]) {
      t.mock.timers.setTime(now + seconds * 1000);
      assert.equal(await ask(), 400, `after ${seconds} s`);
    }
  });

  test('a client’s own token is bound too, and a bare one stays what it was', async () => {
    const headers = { authorization: `Basic ${btoa(`${reporting.id}:${reporting.secret}`)}` };
    const form = { grant_type: 'client_credentials', scope: 'items:read' };
    const request = { method: 'POST', body: new URLSearchParams(form) };
    const bound = await auth.send('/token', { ...request, headers: { ...headers, dpop: await toToken() } });
    assert.equal(bound.body.token_type, 'DPoP');
    const told = (await auth.post('/introspect', { token: bound.body.access_token }, reporting)).body;
    assert.deepEqual(told.cnf, { jkt: prover.thumbprint });
    assert.equal(told.token_type, 'DPoP');
    const bare = (await auth.token(form, reporting)).body;
    assert.equal(bare.token_type, 'Bearer');
    assert.equal(decodeJwt(bare.access_token).cnf, undefined);
  });

  test('introspection tells the key of a bound token, to its client and to whom it is for', async () => {
    const { access_token: token, refresh_token } = await boundTokens(auth, prover);
    const own = (await post(auth, '/introspect', { token })).body;
    const theirs = (await auth.post('/introspect', { token }, orders)).body;
    for (const told of [own, theirs]) {
      assert.equal(told.active, true);
      assert.equal(told.token_type, 'DPoP');
      assert.deepEqual(told.cnf, { jkt: prover.thumbprint });
    }
    assert.deepEqual((await auth.post('/introspect', { token }, demoWeb)).body, { active: false });
    assert.equal((await post(auth, '/introspect', { token: refresh_token })).body.active, true);
  });

  test('A52 userinfo takes a bound token with its proof alone', async () => {
    const { access_token: token } = await boundTokens(auth, prover);
    const proof = (changes = {}) => prover.proof('GET', '/userinfo', { token, ...changes });
    const good = await userinfo('DPoP', token, await proof());
    assert.equal(good.status, 200, JSON.stringify(good.body));
    assert.equal(good.body.preferred_username, 'alice');

    const stranger = await createProver();
    const used = await proof();
    assert.equal((await userinfo('DPoP', token, used)).status, 200);
    const refused: [string, string | undefined][] = [
      ['Bearer', undefined],
      ['Bearer', await proof()],
      ['DPoP', undefined],
      ['DPoP', used],
      ['DPoP', await proof({ ath: undefined })],
      ['DPoP', await proof({ token: `${token}x` })],
      ['DPoP', await proof({ htm: 'POST' })],
      ['DPoP', await proof({ htu: `${issuer}/token` })],
      ['DPoP', await stranger.proof('GET', '/userinfo', { token })],
    ];
    for (const [index, [scheme, dpop]] of refused.entries()) {
      const { status, headers } = await userinfo(scheme, token, dpop);
      assert.ok(status === 401 || (status === 400 && (index === 1 || index === 2)), `${index}: ${status}`);
      assert.match(headers.get('www-authenticate') ?? '', /^(DPoP|Bearer) /, String(index));
    }
    const bare = (await auth.signedIn()).accessToken;
    const withProof = await prover.proof('GET', '/userinfo', { token: bare });
    assert.equal((await userinfo('DPoP', bare, withProof)).status, 401);
  });

  test('A27 a bound token and its refresh token can be revoked without a proof', async () => {
    const first = await boundTokens(auth, prover);
    assert.equal((await post(auth, '/revoke', { token: first.access_token })).status, 200);
    assert.equal(auth.isDenied(first.access_token), true);
    const proof = await prover.proof('GET', '/userinfo', { token: first.access_token });
    assert.equal((await userinfo('DPoP', first.access_token, proof)).status, 401);

    const second = await boundTokens(auth, prover);
    assert.equal((await post(auth, '/revoke', { token: second.refresh_token })).status, 200);
    assert.equal(auth.isDenied(second.access_token), true);
  });

  suite('of a public client', () => {
    const redirect_uri = `${issuer}/explorer/callback`;

    async function explorerTokens() {
      const answer = await signIn(auth.browser(), authorizeUrl({ client_id: explorer.id, redirect_uri }));
      const form = { ...redemption(answer), redirect_uri, client_id: explorer.id };
      const { status, body } = await post(auth, '/token', form, await toToken());
      assert.equal(status, 200, JSON.stringify(body));
      return body;
    }
    const refresh = async (refresh_token: string, by?: Prover) => {
      const form = { grant_type: 'refresh_token', refresh_token, client_id: explorer.id };
      return post(auth, '/token', form, await by?.proof('POST', '/token'));
    };

    test('the refresh token works with its key alone, and being refused uses nothing up', async () => {
      const { refresh_token } = await explorerTokens();
      assert.equal((await refresh(refresh_token)).body.error, 'invalid_grant');
      assert.equal((await refresh(refresh_token, await createProver())).body.error, 'invalid_grant');
      const { status, body } = await refresh(refresh_token, prover);
      assert.equal(status, 200);
      assert.deepEqual(decodeJwt(body.access_token).cnf, { jkt: prover.thumbprint });
      assert.equal((await refresh(body.refresh_token)).body.error, 'invalid_grant');
      assert.equal((await refresh(body.refresh_token, prover)).status, 200);
    });

    test('A23 the grace for a repeated refresh token holds for its key alone', async () => {
      const { refresh_token } = await explorerTokens();
      const two = await Promise.all([refresh(refresh_token, prover), refresh(refresh_token, prover)]);
      const [successor, ...others] = new Set(two.map(({ body }) => body.refresh_token));
      assert.ok(successor);
      assert.deepEqual(others, []);
      assert.equal((await refresh(refresh_token, await createProver())).body.error, 'invalid_grant');
      assert.equal((await refresh(refresh_token)).body.error, 'invalid_grant');
      assert.equal((await refresh(refresh_token, prover)).body.refresh_token, successor);
      assert.equal((await refresh(successor, prover)).status, 200);
    });

    test('a request can name the key that its code is for', async () => {
      const dpop_jkt = prover.thumbprint;
      const code = async () =>
        redemption(
          await signIn(auth.browser(), authorizeUrl({ client_id: explorer.id, redirect_uri, dpop_jkt })),
        );
      const redeem = async (form: Record<string, string>, by?: Prover) =>
        post(
          auth,
          '/token',
          { ...form, redirect_uri, client_id: explorer.id },
          await by?.proof('POST', '/token'),
        );
      assert.equal((await redeem(await code())).body.error, 'invalid_grant');
      assert.equal((await redeem(await code(), await createProver())).body.error, 'invalid_grant');
      assert.equal((await redeem(await code(), prover)).status, 200);
    });
  });

  test('the grants of our own bind nothing, and say so when a proof comes', async () => {
    const { access_token } = await boundTokens(auth, prover);
    const johndoe = { grant_type: 'password', username: 'johndoe', password: 'secret', scope: 'items:read' };
    const password = await post(auth, '/token', { ...johndoe, client_id: firstParty.id }, await toToken());
    const exchange = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: access_token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'urn:gatehouse:items',
      scope: 'items:reserve',
    };
    const headers = {
      authorization: `Basic ${btoa(`${orders.id}:${orders.secret}`)}`,
      dpop: await toToken(),
    };
    const request = { method: 'POST', body: new URLSearchParams(exchange), headers };
    for (const { status, body } of [password, await auth.send('/token', request)]) {
      assert.deepEqual({ status, error: body.error }, { status: 400, error: 'invalid_request' });
      assert.match(body.error_description, /bound to a key/);
    }
  });

  test('A33 a service exchanges a bound token for a plain one of its own, narrower and no longer', async () => {
    const { access_token } = await boundTokens(auth, prover);
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: access_token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'urn:gatehouse:items',
      scope: 'items:reserve',
    };
    const { status, body } = await auth.token(form, orders);
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.token_type, 'Bearer');
    const [subject, exchanged] = [decodeJwt(access_token), decodeJwt(body.access_token)];
    assert.equal(exchanged.cnf, undefined);
    assert.equal(exchanged.aud, 'urn:gatehouse:items');
    assert.equal(exchanged.scope, 'items:reserve');
    assert.deepEqual(exchanged.act, { sub: orders.id });
    assert.ok(Number(exchanged.exp) <= Number(subject.exp));
  });
});
