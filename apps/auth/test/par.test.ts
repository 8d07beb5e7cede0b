import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { sql } from 'drizzle-orm';
import { SignJWT } from 'jose';
import { tidy } from '../src/housekeeping.ts';
import {
  assertion,
  authenticated,
  createProver,
  post,
  pushedUrl,
  requestOf,
  secure,
} from './secure-client.ts';
import {
  authorizeUrl,
  basic,
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

suite('pushed authorization requests', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth.close());

  async function push(changes: Record<string, string> = {}): Promise<string> {
    const { status, body } = await post(auth, '/par', requestOf(changes));
    assert.equal(status, 201, JSON.stringify(body));
    return body.request_uri;
  }
  /** The error that a browser brings to the client, or sees. */
  async function refusal(url: string): Promise<string | null> {
    const { redirect, text } = await auth.browser().open(url);
    if (redirect?.startsWith(callback)) return new URL(redirect).searchParams.get('error');
    return /Error code: <code>(\w+)/.exec(text)?.[1] ?? `no error: ${redirect} ${text}`;
  }

  test('a pushed request has an address that says nothing, and gives a code', async () => {
    const pushed = await post(auth, '/par', requestOf());
    assert.equal(pushed.status, 201);
    assert.equal(pushed.headers.get('cache-control'), 'no-store');
    assert.equal(pushed.body.expires_in, 60);
    assert.match(pushed.body.request_uri, /^urn:ietf:params:oauth:request_uri:[\w-]{21,}$/);
    const answer = await signIn(auth.browser(), pushedUrl(pushed.body.request_uri));
    assert.equal(answer.searchParams.get('iss'), issuer);
    assert.equal(answer.searchParams.get('state'), 'some-state');
    const prover = await createProver();
    const proof = await prover.proof('POST', '/token');
    assert.equal((await post(auth, '/token', redemption(answer), proof)).status, 200);
  });

  test('any client may push, and what it pushed counts, not what the browser brings', async () => {
    const form = Object.fromEntries(new URL(authorizeUrl({ scope: 'openid items:read' })).searchParams);
    const { status, body } = await auth.post('/par', form, demoWeb);
    assert.equal(status, 201, JSON.stringify(body));
    const url = `${pushedUrl(body.request_uri, demoWeb.id)}&scope=openid+orders:write&state=another`;
    const answer = await signIn(auth.browser(), url);
    assert.equal(answer.searchParams.get('state'), 'some-state');
    assert.equal((await auth.token(redemption(answer), demoWeb)).body.scope, 'openid items:read');
  });

  test('a client that has to push is told so when it does not', async () => {
    assert.equal(await refusal(authorizeUrl({ client_id: secure.id })), 'invalid_request');
    const code = await signIn(auth.browser(), authorizeUrl());
    assert.ok(code.searchParams.get('code'));
  });

  test('A31 a pushed request gives one code, also when two browsers answer it at once', async () => {
    const used = await push();
    const browser = auth.browser();
    await signIn(browser, pushedUrl(used));
    assert.equal(await refusal(pushedUrl(used)), 'invalid_request_uri');

    const raced = await push();
    const browsers = [auth.browser(), auth.browser(), auth.browser()];
    const pages = await Promise.all(browsers.map((b) => b.open(pushedUrl(raced))));
    const consents = await Promise.all(
      browsers.map((b, i) =>
        b.submit(pages[i] as (typeof pages)[number], { username: 'bob', password: 'bob-demo-pass' }),
      ),
    );
    const answers = await Promise.all(
      browsers.map((b, i) => b.submit(consents[i] as (typeof consents)[number], {}, { button: 'Allow' })),
    );
    const given = answers.map(({ redirect }) => new URL(redirect ?? 'none:').searchParams);
    assert.equal(given.filter((answer) => answer.has('code')).length, 1);
    const errors = given.map((answer) => answer.get('error')).filter((error) => error !== null);
    assert.deepEqual(errors, ['invalid_request_uri', 'invalid_request_uri']);
  });

  test('A31 a pushed request gives one code, also when it has long expired by then', async () => {
    const pushed = await push();
    const browsers = [auth.browser(), auth.browser()];
    const pages = await Promise.all(browsers.map((browser) => browser.open(pushedUrl(pushed))));
    const anHour = sql`update auth.records set expires_at = expires_at - interval '1 hour'
      where model = 'PushedAuthorizationRequest'`;
    await auth.db.execute(anHour);
    await tidy(auth.db, { auditRetentionDays: 365 });
    const answers: string[] = [];
    for (const [i, browser] of browsers.entries()) {
      const login = pages[i] as (typeof pages)[number];
      const consent = await browser.submit(login, { username: 'bob', password: 'bob-demo-pass' });
      const { redirect } = await browser.submit(consent, {}, { button: 'Allow' });
      const { searchParams } = new URL(redirect ?? 'none:');
      answers.push(searchParams.get('error') ?? (searchParams.has('code') ? 'code' : 'nothing'));
    }
    assert.deepEqual(answers, ['code', 'invalid_request_uri']);
  });

  test('A31 another client cannot use it, nor anybody after a minute, and nobody can make one up', async (t) => {
    const pushed = await push();
    assert.equal(await refusal(pushedUrl(pushed, demoWeb.id)), 'invalid_request_object');
    assert.equal(await refusal(pushedUrl(`${pushed}x`)), 'invalid_request_uri');
    assert.equal(await refusal(pushedUrl('urn:ietf:params:oauth:request_uri:')), 'invalid_request_uri');
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 61_000 });
    assert.equal(await refusal(pushedUrl(pushed)), 'invalid_request_uri');
    t.mock.timers.reset();
    assert.ok((await signIn(auth.browser(), pushedUrl(pushed))).searchParams.get('code'));
  });

  test('A31 takes nothing from who does not authenticate', async () => {
    const request = requestOf();
    const attempts: Record<string, string>[] = [
      {},
      { client_id: 'nobody' },
      { client_secret: 'demo-web-secret' },
      await authenticated(await assertion({ aud: `${issuer}/par` })),
      await authenticated(await assertion({ exp: 1 })),
    ];
    for (const attempt of attempts) {
      const answer = await auth.send('/par', {
        method: 'POST',
        body: new URLSearchParams({ ...request, ...attempt }),
      });
      assert.equal(answer.status, 401, JSON.stringify(answer.body));
      assert.equal(answer.body.error, 'invalid_client');
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Basic /);
    }
    const web = Object.fromEntries(new URL(authorizeUrl()).searchParams);
    assert.equal((await auth.post('/par', web, { ...demoWeb, secret: 'wrong' })).status, 401);
    assert.equal((await auth.post('/par', web)).status, 401);
    assert.equal((await auth.post('/par', requestOf(), demoWeb)).body.error, 'invalid_request');
  });

  test('A31 Z14 a request_uri that is an address is refused, and nobody is asked for it', async () => {
    let connections = 0;
    const listener = createServer((socket) => {
      connections += 1;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as { port: number };
    try {
      for (const request_uri of [`http://127.0.0.1:${port}/request`, `https://127.0.0.1:${port}/request#x`]) {
        assert.equal(await refusal(pushedUrl(request_uri)), 'request_uri_not_supported');
        assert.equal(await refusal(pushedUrl(request_uri, demoWeb.id)), 'request_uri_not_supported');
        assert.equal(
          await refusal(`${authorizeUrl()}&${new URLSearchParams({ request_uri })}`),
          'request_uri_not_supported',
        );
        const pushed = await post(auth, '/par', requestOf({ request_uri }));
        assert.deepEqual([pushed.status, pushed.body.error], [400, 'request_uri_not_supported']);
      }
      assert.equal(connections, 0);
    } finally {
      listener.close();
    }
  });

  test('A32 request objects are refused, however they are signed, and not announced', async () => {
    const claims = { ...requestOf(), iss: secure.id, aud: issuer };
    const unsigned = `${btoa('{"alg":"none"}')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`;
    const signed = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new Uint8Array(32));
    const good = await assertion({ ...claims, exp: Math.floor(Date.now() / 1000) + 60 });
    for (const request of [unsigned, signed, good]) {
      assert.equal(await refusal(`${authorizeUrl()}&request=${request}`), 'request_not_supported');
      const pushed = await post(auth, '/par', { ...requestOf(), request });
      assert.deepEqual([pushed.status, pushed.body.error], [400, 'request_not_supported']);
    }
    const { body } = await auth.send('/.well-known/openid-configuration');
    assert.equal(body.request_uri_parameter_supported, false);
    const announced = Object.keys(body).filter((name) => name.startsWith('request_') && body[name]);
    assert.deepEqual(announced, []);
  });

  test('A14 refuses any parameter that is there twice', async () => {
    const fields = `${new URLSearchParams(Object.fromEntries(new URL(authorizeUrl()).searchParams))}`;
    const headers = { authorization: basic(demoWeb), 'content-type': 'application/x-www-form-urlencoded' };
    for (const name of new URLSearchParams(fields).keys()) {
      const body = `${fields}&${name}=${encodeURIComponent(new URLSearchParams(fields).get(name) ?? '')}`;
      const answer = await auth.send('/par', { method: 'POST', body, headers });
      assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_request'], name);
    }
  });

  test('A01 A04 A05 refuses at once what /authorize would refuse', async () => {
    const refused: [Record<string, string>, string][] = [
      [{ redirect_uri: 'https://evil.example/callback' }, 'invalid_request'],
      [{ response_type: 'token' }, 'unsupported_response_type'],
      [{ response_type: 'code token' }, 'unsupported_response_type'],
      [{ code_challenge: '' }, 'invalid_request'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
      [{ resource: 'urn:gatehouse:items' }, 'invalid_target'],
      [{ code_challenge: pkce.challenge.slice(1) }, 'invalid_request'],
    ];
    for (const [changes, error] of refused) {
      const { status, body } = await post(auth, '/par', requestOf(changes));
      assert.deepEqual([status, body.error], [400, error], JSON.stringify(changes));
    }
  });

  test('a proof at /par binds the code to its key, of a public client too', async () => {
    const [prover, stranger] = [await createProver(), await createProver()];
    const redirect_uri = `${issuer}/explorer/callback`;
    const pushedBy = async () => {
      const form = Object.fromEntries(
        new URL(authorizeUrl({ client_id: explorer.id, redirect_uri })).searchParams,
      );
      const { body } = await post(auth, '/par', form, await prover.proof('POST', '/par'));
      const answer = await signIn(auth.browser(), pushedUrl(body.request_uri, explorer.id));
      return { ...redemption(answer), redirect_uri, client_id: explorer.id };
    };
    const stolen = await post(auth, '/token', await pushedBy(), await stranger.proof('POST', '/token'));
    assert.equal(stolen.body.error, 'invalid_grant');
    assert.equal((await post(auth, '/token', await pushedBy())).body.error, 'invalid_grant');
    const own = await post(auth, '/token', await pushedBy(), await prover.proof('POST', '/token'));
    assert.equal(own.body.token_type, 'DPoP');
  });
});
