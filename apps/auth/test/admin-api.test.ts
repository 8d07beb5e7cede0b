import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { rawRequest } from '@gatehouse/test-kit';
import { createLiveEvents } from '../src/admin/live-events.ts';
import { createAuditReader } from '../src/audit/audit-reader.ts';
import { createProver, post } from './secure-client.ts';
import {
  authorizeUrl,
  explorer,
  issuer,
  redemption,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const bob = 'b0b00000-0000-4000-8000-000000000002';
const paths = [
  '/admin/keys',
  '/admin/denylist',
  '/admin/audit',
  '/admin/events',
  `/admin/accounts/${bob}/grants`,
];

suite('the API of administrators', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth();
  });
  after(() => auth?.close());

  const tokenOf = async (username: string, scope = 'users:admin') => {
    const { status, body } = await auth.password({
      username,
      password: `${username}-demo-pass`,
      scope,
    });
    assert.equal(status, 200, JSON.stringify(body));
    return body.access_token as string;
  };
  const call = (token: string | undefined, path: string, method = 'GET') =>
    auth.send(path, { method, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });

  test('T01 T11 Z06 nobody without a token, the scope and the role, as the account has it now, gets in', async () => {
    const [customer, unscoped] = [await tokenOf('alice'), await tokenOf('admin', 'profile:read')];
    for (const path of paths) {
      assert.equal((await call(undefined, path)).status, 401, path);
      assert.equal((await call(unscoped, path)).status, 403, path);
      assert.equal((await call(customer, path)).status, 403, path);
    }
    assert.equal((await call(customer, '/admin/keys/rotate', 'POST')).status, 403);
    assert.equal((await call(undefined, '/admin/keys/rotate', 'POST')).status, 401);
  });

  test('J34 J35 a bound token gets in with a fresh proof for it, once, and never without', async () => {
    const [prover, stranger] = [await createProver(), await createProver()];
    const boundTokenOf = async (username: string) => {
      const redirect_uri = `${issuer}/explorer/callback`;
      const request = { client_id: explorer.id, redirect_uri, scope: 'openid users:admin' };
      const answer = await signIn(auth.browser(), authorizeUrl(request), username);
      const form = { ...redemption(answer), redirect_uri, client_id: explorer.id };
      const { body } = await post(auth, '/token', form, await prover.proof('POST', '/token'));
      assert.equal(body.token_type, 'DPoP', JSON.stringify(body));
      return body.access_token as string;
    };
    const send = (scheme: string, token: string, proof?: string) =>
      auth.send('/admin/keys', {
        headers: { authorization: `${scheme} ${token}`, ...(proof !== undefined && { dpop: proof }) },
      });
    const token = await boundTokenOf('admin');
    const prove = (changes = {}) => prover.proof('GET', '/admin/keys', { token, ...changes });

    const proof = await prove();
    assert.equal((await send('DPoP', token, proof)).status, 200);
    const faults = {
      replayed: proof,
      'for another method': await prove({ htm: 'POST' }),
      'for another path': await prove({ htu: `${issuer}/admin/audit` }),
      'for the address inside': await prove({ htu: `${auth.url}/admin/keys` }),
      'for another token': await prove({ ath: 'x' }),
      old: await prove({ iat: Math.floor(Date.now() / 1000) - 70 }),
      'of another key': await stranger.proof('GET', '/admin/keys', { token }),
      missing: undefined,
    };
    for (const [fault, refused] of Object.entries(faults)) {
      const { status, headers } = await send('DPoP', token, refused);
      assert.equal(status, 401, fault);
      assert.match(headers.get('www-authenticate') ?? '', /^DPoP .*error="invalid_dpop_proof"/, fault);
    }
    assert.equal((await send('Bearer', token, await prove())).status, 401);
    const atOnce = await prove();
    const answers = await Promise.all(Array.from({ length: 5 }, () => send('DPoP', token, atOnce)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 401, 401, 401, 401]);

    const customer = await boundTokenOf('alice');
    const refused = await send('DPoP', customer, await prove({ token: customer }));
    assert.equal(refused.status, 403);
    assert.match(refused.headers.get('www-authenticate') ?? '', /^DPoP .*error="insufficient_scope"/);
    await auth.post('/revoke', { token }, explorer);
    const revoked = await send('DPoP', token, await prove());
    assert.equal(revoked.status, 401);
    assert.match(revoked.headers.get('www-authenticate') ?? '', /^DPoP .*error="invalid_token"/);
  });

  test('a rotation publishes one key, however often it is asked for, and is on record with its administrator', async () => {
    const token = await tokenOf('admin');
    const [first, second] = [
      await call(token, '/admin/keys/rotate', 'POST'),
      await call(token, '/admin/keys/rotate', 'POST'),
    ];
    assert.deepEqual([first.status, second.status], [202, 202]);
    assert.equal(first.body.kid, second.body.kid);
    const { items } = (await call(token, '/admin/keys')).body;
    assert.deepEqual(
      items.map(({ stage }: { stage: string }) => stage),
      ['published', 'signing'],
    );
    assert.equal(items[0].kid, first.body.kid);
    const { items: entries } = (await call(token, '/admin/audit')).body;
    const rotations = entries.filter(
      ({ event, detail }: { event: string; detail: { kid?: string } }) =>
        event === 'key-rotation' && detail.kid === first.body.kid,
    );
    assert.equal(rotations.length, 1);
    assert.match(rotations[0].actorId, /^[\da-f-]{36}$/);
  });

  test('what is revoked stands in the denylist by its id, and no token does', async () => {
    const token = await tokenOf('admin');
    const { size } = (await call(token, '/admin/denylist')).body;
    const revoked = await tokenOf('bob', 'profile:read');
    await auth.post('/revoke', { token: revoked }, { id: 'demo-first-party' });
    const { body } = await call(token, '/admin/denylist');
    assert.ok(body.size > size);
    assert.ok(['jti', 'gid'].includes(body.items[0].kind));
    assert.doesNotMatch(JSON.stringify(body), /eyJ/);
  });

  test('J37 A26 an administrator withdraws what an account has allowed, with its live tokens', async () => {
    const token = await tokenOf('admin');
    const { body } = await auth.post(
      '/token',
      redemption(await signIn(auth.browser(), authorizeUrl(), 'bob')),
      { id: 'demo-web', secret: 'demo-web-secret' },
    );
    const path = `/admin/accounts/${bob}/grants`;
    const { items } = (await call(token, path)).body;
    assert.deepEqual(
      items.map(({ clientId }: { clientId: string }) => clientId),
      ['demo-web'],
    );
    assert.ok(items[0].scopes.includes('orders:write'));
    assert.equal((await auth.userinfo(body.access_token)).status, 200);
    assert.equal((await call(token, `${path}/demo-web`, 'DELETE')).status, 204);
    assert.equal((await auth.userinfo(body.access_token)).status, 401);
    assert.equal((await auth.refresh(body.refresh_token)).status, 400);
    assert.equal((await call(token, `${path}/demo-web`, 'DELETE')).status, 404);
    assert.deepEqual((await call(token, path)).body.items, []);
    const unknown = '/admin/accounts/00000000-0000-4000-8000-000000000000/grants';
    assert.equal((await call(token, unknown)).status, 404);
  });

  test('J37 A26 an administrator withdraws it alike when the id is spelled in capitals', async () => {
    const token = await tokenOf('admin');
    const { accessToken, refreshToken } = await auth.signedIn('bob');
    const path = `/admin/accounts/${bob.toUpperCase()}/grants/demo-web`;
    assert.equal((await call(token, path, 'DELETE')).status, 204);
    assert.equal((await auth.userinfo(accessToken)).status, 401);
    assert.equal((await auth.refresh(refreshToken)).status, 400);
  });

  /** Reads a stream until what it told satisfies `isEnough`, or to its end. */
  async function follow(token: string, isEnough: (text: string) => boolean, headers = {}): Promise<string> {
    const leaving = AbortSignal.timeout(20_000);
    const response = await fetch(`${auth.url}/admin/events`, {
      headers: { authorization: `Bearer ${token}`, ...headers },
      signal: leaving,
    });
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
    let text = '';
    for await (const chunk of (response.body as ReadableStream<Uint8Array>).pipeThrough(
      new TextDecoderStream(),
    )) {
      text += chunk;
      if (isEnough(text)) break;
    }
    return text;
  }

  test('a stream tells the keys, the denylist, and what is new in the audit log; the next one goes on after it', async () => {
    const token = await tokenOf('admin');
    const following = follow(token, (text) => /event: audit\ndata: .*"sign-in"/.test(text));
    await auth.password({ username: 'bob', password: 'wrong' });
    const text = await following;
    assert.match(text, /event: keys\ndata: \[/);
    assert.match(text, /event: denylist\ndata: \{"size"/);
    const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
    const last = Math.max(...ids);
    await auth.password({ username: 'bob', password: 'wrong again' });
    const next = await follow(token, (told) => told.includes('event: audit'), {
      'last-event-id': String(last),
    });
    const [, first] = /id: (\d+)\nevent: audit/.exec(next) ?? [];
    assert.ok(Number(first) > last);
  });

  test('J37 a stream ends when its token is revoked', async () => {
    const token = await tokenOf('admin');
    let isRevoked = false;
    await follow(token, (text) => {
      if (!isRevoked && text.includes('event: keys')) {
        isRevoked = true;
        void auth.post('/revoke', { token }, { id: 'demo-first-party' });
      }
      return false;
    });
    assert.ok(isRevoked);
    assert.equal((await call(token, '/admin/keys')).status, 401);
  });

  test('HEAD tells how a stream would begin, and keeps no connection busy', async () => {
    const token = await tokenOf('admin');
    const ask = (path: string, more = '') =>
      `HEAD ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n${more}\r\n`;
    const port = Number(new URL(auth.url).port);
    const { text } = await rawRequest(
      port,
      ask('/admin/events') + ask('/admin/keys', 'Connection: close\r\n'),
      { timeoutMs: 5_000 },
    );
    assert.deepEqual(
      text.match(/^(HTTP|Content-Type).*/gm)?.map((line) => line.trim()),
      [
        'HTTP/1.1 200 OK',
        'Content-Type: text/event-stream; charset=utf-8',
        'HTTP/1.1 200 OK',
        'Content-Type: application/json; charset=utf-8',
      ],
    );
  });

  test('too many streams are 503 with Retry-After, and those that have left make room', async () => {
    const token = await tokenOf('admin');
    const leaving = new AbortController();
    const headers = { authorization: `Bearer ${token}` };
    const open = () => fetch(`${auth.url}/admin/events`, { headers, signal: leaving.signal });
    const streams = await Promise.all(Array.from({ length: 21 }, open));
    const refused = streams.filter(({ status }) => status === 503);
    assert.equal(refused.length, 1);
    assert.equal(refused[0]?.headers.get('retry-after'), '10');
    leaving.abort();
    for (let tries = 0; ; tries += 1) {
      assert.ok(tries < 20, 'no stream makes room');
      const response = await fetch(`${auth.url}/admin/events`, { headers });
      await response.body?.cancel();
      if (response.status === 200) break;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  });

  test('of thirty streams that are asked for at once twenty begin', async () => {
    const nothing = async () => [];
    const auditReader = createAuditReader(auth.db);
    const { open } = createLiveEvents({ auditReader, keys: nothing, denylist: nothing, isOver: () => true });
    const asked = Array.from({ length: 30 }, () => open());
    const outcomes = await Promise.allSettled(asked);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 20);
  });
});

test('a stop ends the streams', async (t) => {
  const auth = await startTestAuth();
  t.after(() => auth.close());
  const { body } = await auth.password({
    username: 'admin',
    password: 'admin-demo-pass',
    scope: 'users:admin',
  });
  const response = await fetch(`${auth.url}/admin/events`, {
    headers: { authorization: `Bearer ${body.access_token}` },
  });
  const reading = response.text();
  await auth.close();
  assert.match(await reading, /event: keys/);
});
