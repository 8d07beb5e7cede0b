import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { cpuMs, rawRequest } from '@gatehouse/test-kit';
import { decodeJwt } from 'jose';
import { goodPassword, newName, register } from './registering.ts';
import {
  authorizeUrl,
  basic,
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
  users,
} from './start-test-auth.ts';

suite('token endpoint', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  const clientCredentials = { grant_type: 'client_credentials', scope: 'items:read' };
  const code = async () => redemption(await signIn(auth.browser()));

  test('A06 refuses a code with a missing, wrong or malformed verifier, and takes it with the right one', async () => {
    const form = await code();
    const { code_verifier: verifier = '', ...without } = form;
    const wrong = [verifier.replace('a', 'b'), verifier.slice(0, 42), verifier.repeat(3), 'x'.repeat(129)];
    for (const refused of [without, ...wrong.map((code_verifier) => ({ ...form, code_verifier }))]) {
      const { status, body } = await auth.token(refused as Record<string, string>, demoWeb);
      assert.equal(status, 400);
      assert.match(body.error, /^invalid_(grant|request)$/);
    }
    assert.equal((await auth.token(form, demoWeb)).status, 200);
  });

  test('A06 refuses verifiers of 42 and 129 characters though they are the right ones, and takes 43 and 128', async () => {
    for (const [length, isTaken] of [
      [42, false],
      [43, true],
      [128, true],
      [129, false],
    ] as const) {
      const code_verifier = 'v'.repeat(length);
      const code_challenge = hash('sha256', code_verifier, 'base64url');
      const answer = await signIn(auth.browser(), authorizeUrl({ code_challenge }));
      const { status, body } = await auth.token({ ...redemption(answer), code_verifier }, demoWeb);
      assert.equal(status, isTaken ? 200 : 400, `${length} characters`);
      if (!isTaken) assert.match(body.error, /^invalid_(grant|request)$/);
    }
  });

  test('A10 A54 refuses a code of another client, for another address, of another kind, or after 60 s', async (t) => {
    const form = await code();
    const variants: [Record<string, string>, typeof explorer | typeof demoWeb][] = [
      [form, explorer],
      [{ ...form, redirect_uri: 'http://127.0.0.1:9999/callback' }, demoWeb],
      [{ grant_type: 'refresh_token', refresh_token: form.code ?? '' }, demoWeb],
      [{ ...form, code: `AuthorizationCode:${form.code}` }, demoWeb],
      [{ ...form, code: 'x'.repeat(10_000) }, demoWeb],
      [{ ...form, code: '\u0000\r\n' }, demoWeb],
    ];
    for (const [refused, client] of variants) {
      const { status, body } = await auth.token(refused, client);
      assert.equal(status, 400, JSON.stringify(refused).slice(0, 200));
      assert.equal(body.error, 'invalid_grant');
    }
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 61_000 });
    const late = await auth.token(form, demoWeb);
    assert.equal(late.body.error, 'invalid_grant');
    t.mock.timers.reset();
    assert.equal((await auth.token(form, demoWeb)).status, 200);
  });

  test('A08 a code used twice ends what the first use gave, and a new sign-in works', async () => {
    const browser = auth.browser();
    const form = redemption(await signIn(browser));
    const first = await auth.token(form, demoWeb);
    assert.equal(await auth.isActive(first.body.access_token, demoWeb), true);
    assert.equal((await auth.token(form, demoWeb)).body.error, 'invalid_grant');

    assert.equal(auth.isDenied(first.body.access_token), true);
    assert.equal(await auth.isActive(first.body.access_token, demoWeb), false);
    assert.equal((await auth.refresh(first.body.refresh_token)).body.error, 'invalid_grant');
    const again = await auth.signedIn('alice', browser);
    assert.equal(await auth.isActive(again.accessToken, demoWeb), true);
    assert.notEqual(decodeJwt(again.accessToken).gid, decodeJwt(first.body.access_token).gid);
  });

  test('A14 refuses any parameter that is there twice, of every grant, and uses nothing up', async () => {
    const redeemed = await code();
    const { refreshToken } = await auth.signedIn();
    const subject = (await auth.password({ scope: 'orders:write' })).body.access_token;
    const forms: [Record<string, string>, typeof firstParty | typeof demoWeb][] = [
      [redeemed, demoWeb],
      [{ grant_type: 'refresh_token', refresh_token: refreshToken, scope: 'items:read' }, demoWeb],
      [clientCredentials, reporting],
      [{ grant_type: 'password', username: 'johndoe', password: 'secret', scope: 'items:read' }, firstParty],
      [
        {
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: subject,
          subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
          audience: 'urn:gatehouse:items',
          scope: 'items:read',
        },
        orders,
      ],
    ];
    for (const [form, client] of forms) {
      const own = new URLSearchParams({ ...form, client_id: client.id });
      const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' };
      if ('secret' in client) headers.authorization = basic(client);
      for (const [name, value] of own) {
        const body = `${own}&${new URLSearchParams({ [name]: value })}`;
        const answer = await auth.send('/token', { method: 'POST', body, headers });
        const told = [answer.status, answer.body.error];
        assert.deepEqual(told, [400, 'invalid_request'], `${form.grant_type} ${name}`);
      }
      assert.equal((await auth.token(form, client)).status, 200, form.grant_type);
    }
  });

  test('A16 reads a form in a POST, and nothing else', async () => {
    const query = `?${new URLSearchParams(clientCredentials)}`;
    const headers = { authorization: basic(reporting) };
    assert.equal((await auth.send(`/token${query}`, { headers })).status, 405);
    const inQuery = await auth.send(`/token${query}`, { method: 'POST', headers });
    assert.equal(inQuery.body.error, 'invalid_request');
    const bodies: [string, string][] = [
      ['application/json', JSON.stringify(clientCredentials)],
      ['text/plain', query.slice(1)],
      ['multipart/form-data; boundary=x', '--x--'],
      ['application/x-www-form-urlencoded', `scope=${'x'.repeat(100_000)}`],
      ['application/x-www-form-urlencoded', '%%%&&&==='],
    ];
    for (const [type, body] of bodies) {
      const answer = await auth.send('/token', {
        method: 'POST',
        body,
        headers: { ...headers, 'content-type': type },
      });
      assert.equal(answer.status, 400, `${type} ${body.slice(0, 20)}`);
      assert.equal(answer.body.error, 'invalid_request');
    }
  });

  test('A16 a form in chunks that is too long is refused, and the next request on its connection is answered', async () => {
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    const next = 'GET /health/live HTTP/1.1\r\nHost: auth\r\nConnection: close\r\n\r\n';
    for (const path of ['/token', '/revoke', '/introspect', '/userinfo', '/logout/confirm']) {
      const head = `POST ${path} HTTP/1.1\r\nHost: auth\r\nContent-Type: application/x-www-form-urlencoded\r\n`;
      const form = `${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(3)}0\r\n\r\n`;
      const { text } = await rawRequest(Number(new URL(auth.url).port), form + next);
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status);
      assert.deepEqual(statuses, ['400', '200'], path);
    }
  });

  test('H32 parameters without number are refused before anybody looks through them', async () => {
    const ask = (path: string, count: number) =>
      fetch(`${auth.url}${path}?${Array(count).fill('a').join('&')}`, { redirect: 'manual' });
    for (const path of ['/authorize', '/authorize/x', '/device', '/device/x', '/logout', '/logout/success']) {
      const ms = await cpuMs(async () => assert.equal((await ask(path, 8_000)).status, 400), 100);
      assert.ok(ms < 100, `${path} took ${ms} ms`);
    }
    assert.equal((await ask('/logout/success', 100)).status, 200);
    assert.equal((await ask('/logout/success', 101)).status, 400);
  });

  test('H32 long parameters that are made to be hard to read keep the server busy for a moment only', async () => {
    // What takes a time that grows with the square of the length takes many times as long as this.
    const mostMs = 100;
    const values = {
      letters: ['a', '!'],
      spaces: [' ', 'a'],
      'pairs of signs': ['=;', '"'],
      segments: ['../', '\\'],
      scopes: ['openid ', '\0'],
      'parts of a token': ['eyJhIjoxfQ.', '.'],
      'a deep object': ['{"a":', '}'],
      hosts: ['a@a.', '@'],
    } as const;
    const pushed = Object.fromEntries(new URL(authorizeUrl()).searchParams);
    const push = (form: Record<string, string>) => auth.post('/par', { ...pushed, ...form }, demoWeb);
    const assertion = { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' };
    const askers: [(form: Record<string, string>) => Promise<{ status: number }>, string[]][] = [
      [push, ['redirect_uri', 'scope', 'state', 'nonce', 'code_challenge', 'claims', 'id_token_hint']],
      [(form) => auth.token({ ...clientCredentials, ...form }, reporting), ['scope', 'resource']],
      [(form) => auth.token({ ...clientCredentials, ...assertion, ...form }), ['client_assertion']],
      [(form) => auth.token({ grant_type: 'authorization_code', ...form }, demoWeb), ['code']],
      [(form) => auth.token({ grant_type: 'refresh_token', ...form }, demoWeb), ['refresh_token']],
      [(form) => auth.post('/introspect', form, demoWeb), ['token']],
      [
        (form) => register(auth, { username: newName(), password: goodPassword, ...form }),
        ['username', 'displayName', 'email'],
      ],
    ];
    for (const [ask, fields] of askers) {
      for (const field of fields) {
        for (const [name, [text, end]] of Object.entries(values)) {
          const long = text.repeat(50_000 / encodeURIComponent(text).length) + end;
          let status = 0;
          const spent = await cpuMs(async () => {
            ({ status } = await ask({ [field]: long }));
          }, mostMs);
          assert.ok(spent < mostMs, `${field} of ${name} took ${spent} ms`);
          assert.ok(status < 500, `${field} of ${name}: ${status}`);
        }
      }
    }
  });

  test('A17 no answer with a token, or about one, is stored anywhere', async () => {
    const { accessToken } = await auth.signedIn();
    const answers = [
      await auth.token(clientCredentials, reporting),
      await auth.token(clientCredentials, { ...reporting, secret: 'wrong' }),
      await auth.post('/introspect', { token: accessToken }, demoWeb),
      await auth.post('/introspect', { token: 'junk' }, demoWeb),
      await auth.userinfo(accessToken),
      await auth.userinfo('junk'),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 401, 200, 200, 200, 401],
    );
    for (const { headers } of answers) {
      assert.equal(headers.get('cache-control'), 'no-store');
      assert.match(headers.get('content-type') ?? '', /^application\/json/);
    }
  });

  test('A17 T14 a browser reads answers for public clients alone, from where they live', async () => {
    const form = {
      grant_type: 'authorization_code',
      code: 'x',
      redirect_uri: callback,
      code_verifier: 'x'.repeat(43),
    };
    const from = (origin: string, client_id: string) =>
      auth.send('/token', {
        method: 'POST',
        body: new URLSearchParams({ ...form, client_id }),
        headers: { origin },
      });
    const own = await from(issuer, explorer.id);
    assert.equal(own.headers.get('access-control-allow-origin'), issuer);
    assert.equal(own.headers.get('access-control-allow-credentials'), null);
    for (const origin of ['https://evil.example', 'null', `${issuer}.evil.example`]) {
      assert.equal(
        (await from(origin, explorer.id)).headers.get('access-control-allow-origin'),
        null,
        origin,
      );
    }
    const { origin } = new URL(callback);
    const body = new URLSearchParams({ ...form, client_id: demoWeb.id, client_secret: demoWeb.secret });
    const secretive = await auth.send('/token', { method: 'POST', body, headers: { origin } });
    assert.equal(secretive.headers.get('access-control-allow-origin'), null);
    const page = await auth.send('/authorize', { headers: { origin: issuer } });
    assert.equal(page.headers.get('access-control-allow-origin'), null);
  });

  test('A18 A19 tells a client only that its credentials are wrong', async () => {
    const wrong = await auth.token(clientCredentials, { ...reporting, secret: 'wrong' });
    assert.equal(wrong.status, 401);
    assert.match(wrong.headers.get('www-authenticate') ?? '', /^Basic /);
    const unknown = await auth.token(clientCredentials, { id: 'nobody', secret: 'wrong' });
    assert.equal(unknown.status, 401);
    assert.deepEqual(unknown.body, wrong.body);
    assert.equal(wrong.body.error, 'invalid_client');

    assert.equal((await auth.token(clientCredentials, { id: reporting.id })).status, 401);
    assert.equal(
      (await auth.token({ ...clientCredentials, ...{ client_secret: '' } }, { id: reporting.id })).status,
      401,
    );
    assert.equal((await auth.token(clientCredentials, { id: explorer.id, secret: 'x' })).status, 401);
  });

  test('the hash of a secret, which is what is kept, does not work as the secret', async () => {
    const { createHash } = await import('node:crypto');
    const hash = createHash('sha256').update(reporting.secret).digest('hex');
    assert.equal((await auth.token(clientCredentials, { ...reporting, secret: hash })).status, 401);
  });

  test('A35 refuses grants that are off, and grants that are not the client’s', async () => {
    for (const grant_type of ['implicit', 'nonsense', '__proto__']) {
      const { status, body } = await auth.token({ grant_type, scope: 'items:read' }, reporting);
      assert.equal(status, 400);
      assert.equal(body.error, 'unsupported_grant_type', grant_type);
    }
    const notTheirs: [Record<string, string>, { id: string; secret?: string }][] = [
      [{ grant_type: 'password', username: 'johndoe', password: 'secret', scope: 'items:read' }, explorer],
      [{ grant_type: 'password', username: 'johndoe', password: 'secret', scope: 'items:read' }, demoWeb],
      [clientCredentials, demoWeb],
      [{ grant_type: 'authorization_code', code: 'x', redirect_uri: callback }, reporting],
      [{ grant_type: 'refresh_token', refresh_token: 'x' }, reporting],
      [{ grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: 'x' }, demoWeb],
      [
        { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', audience: 'urn:gatehouse:items' },
        demoWeb,
      ],
    ];
    for (const [form, client] of notTheirs) {
      const { status, body } = await auth.token(form, client);
      assert.equal(status, 400);
      assert.equal(body.error, 'unauthorized_client', JSON.stringify(form));
    }
  });

  test('A36 a client’s own token has its allowed scopes, no grant and no refresh token', async () => {
    const { status, body } = await auth.token(clientCredentials, reporting);
    assert.equal(status, 200);
    assert.equal(body.refresh_token, undefined);
    assert.equal(body.id_token, undefined);
    const claims = decodeJwt(body.access_token);
    assert.equal(claims.sub, reporting.id);
    assert.equal(claims.scope, 'items:read');
    assert.equal(claims.aud, 'urn:gatehouse:api');
    assert.equal(claims.gid, undefined);
    assert.deepEqual(claims.roles, []);
    for (const scope of [
      'openid items:read',
      'items:read items:write',
      'items:write',
      'offline_access',
      '',
    ]) {
      const refused = await auth.token({ ...clientCredentials, scope }, reporting);
      assert.equal(refused.status, 400, scope);
      assert.equal(refused.body.error, 'invalid_scope', scope);
    }
    assert.equal((await auth.token(clientCredentials, explorer)).body.error, 'unauthorized_client');
    const elsewhere = await auth.token({ ...clientCredentials, resource: 'urn:gatehouse:items' }, reporting);
    assert.equal(elsewhere.body.error, 'invalid_target');
  });

  test('A36 the orders service gets a token in its own name, for reservations at items and for nothing else', async () => {
    const form = {
      grant_type: 'client_credentials',
      scope: 'items:reserve',
      resource: 'urn:gatehouse:items',
    };
    const { status, body } = await auth.token(form, orders);
    assert.equal(status, 200, JSON.stringify(body));
    const { sub, client_id, aud, scope, act, gid } = decodeJwt(body.access_token);
    assert.deepEqual(
      { sub, client_id, aud, scope, act, gid },
      {
        sub: orders.id,
        client_id: orders.id,
        aud: 'urn:gatehouse:items',
        scope: 'items:reserve',
        act: undefined,
        gid: undefined,
      },
    );
    for (const scope of ['items:read', 'items:write', 'items:reserve items:read', 'openid', '']) {
      assert.equal((await auth.token({ ...form, scope }, orders)).body.error, 'invalid_scope', scope);
    }
    const apiToken = { ...form, resource: 'urn:gatehouse:api' };
    assert.equal((await auth.token(apiToken, orders)).body.error, 'invalid_scope');
    const anyToken = { grant_type: form.grant_type, scope: form.scope };
    assert.equal((await auth.token(anyToken, orders)).body.error, 'invalid_scope');
    for (const resource of ['urn:gatehouse:accounts', 'urn:gatehouse:users', 'urn:gatehouse:items2']) {
      assert.equal((await auth.token({ ...form, resource }, orders)).body.error, 'invalid_target', resource);
    }
    for (const client of [reporting, demoWeb, users, explorer]) {
      const { error } = (await auth.token(form, client)).body;
      assert.equal(error, client === reporting ? 'invalid_target' : 'unauthorized_client', client.id);
    }
    const refused = await auth.token({ ...(await code()), resource: form.resource }, demoWeb);
    assert.equal(refused.body.error, 'invalid_target');
  });

  test('A05 a code without offline_access comes without a refresh token', async () => {
    const url = authorizeUrl({ scope: 'openid items:read' });
    const { body } = await auth.token(redemption(await signIn(auth.browser(), url)), demoWeb);
    assert.equal(body.refresh_token, undefined);
  });
});
