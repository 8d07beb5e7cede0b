import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { exportJWK, generateKeyPair, importJWK, type JWK, type JWTPayload, SignJWT } from 'jose';
import { assertSameTime } from './same-time.ts';
import { assertion, authenticated, secure } from './secure-client.ts';
import {
  basic,
  callback,
  demoWeb,
  explorer,
  issuer,
  reporting,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

async function newKey(alg: string) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { private: await exportJWK(privateKey), public: await exportJWK(publicKey) };
}
const algorithms = ['ES256', 'PS256', 'EdDSA'];
const keys: Record<string, Awaited<ReturnType<typeof newKey>>> = Object.fromEntries(
  await Promise.all(algorithms.map(async (alg) => [alg, await newKey(alg)])),
);
const posting = { id: 'posting', secret: 'a-secret-that-is-long-enough-for-it' };
const odd = { id: 'odd:client+41&=', secret: 'a secret: with 100% of +&=/?"\\ and %2B' };
const changing = {
  id: 'changing',
  new: 'the-secret-that-takes-its-place-now',
  old: 'the-secret-that-was-there-before-it',
};
const ownToken = { grant_types: ['client_credentials'], allowed_scopes: 'items:read' };
const CLIENTS = JSON.stringify([
  ...algorithms.map((alg) => ({
    ...ownToken,
    client_id: `signs-${alg}`,
    client_name: alg,
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [keys[alg]?.public] },
  })),
  {
    ...ownToken,
    client_id: posting.id,
    client_name: 'Posts its secret',
    client_secret: posting.secret,
    token_endpoint_auth_method: 'client_secret_post',
  },
  { ...ownToken, client_id: odd.id, client_name: 'Oddly named', client_secret: odd.secret },
  {
    ...ownToken,
    client_id: changing.id,
    client_name: 'Changes its secret',
    client_secret: `${changing.new}\n${changing.old}`,
  },
]);

const form = { grant_type: 'client_credentials', scope: 'items:read' };
const invalid = { status: 401, error: 'invalid_client' };
const short = ({ status, body }: { status: number; body: { error?: string } }) => ({
  status,
  error: body.error,
});

suite('client authentication', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth({ env: { CLIENTS } });
  });
  after(() => auth.close());

  let senders = 0;
  /** Posts a form from a network that has not guessed anything yet. */
  function send(path: string, fields: Record<string, string>, headers: Record<string, string> = {}) {
    senders += 1;
    const from = `203.0.${Math.floor(senders / 250)}.${(senders % 250) + 1}`;
    const init = { method: 'POST', body: new URLSearchParams(fields) };
    return auth.send(path, { ...init, headers: { ...headers, 'x-forwarded-for': from } });
  }
  const withAssertion = async (client_assertion: string, fields: Record<string, string> = form) =>
    send('/token', { ...fields, ...(await authenticated(client_assertion)) });

  suite('with a secret', () => {
    test('A18 an unknown client and a wrong secret, by Basic and in the form, get the same answer', async () => {
      const unknown = await send('/token', form, { authorization: basic({ id: 'nobody', secret: 'wrong' }) });
      const wrong = await send('/token', form, { authorization: basic({ ...reporting, secret: 'wrong' }) });
      for (const answer of [unknown, wrong]) {
        assert.deepEqual(short(answer), invalid);
        assert.match(answer.headers.get('www-authenticate') ?? '', /^Basic /);
      }
      const wrongPost = { ...form, client_id: posting.id, client_secret: 'wrong' };
      const posted = await send('/token', wrongPost);
      const unknownPosted = await send('/token', { ...wrongPost, client_id: 'nobody' });
      for (const answer of [posted, unknownPosted]) assert.deepEqual(short(answer), invalid);
      for (const { body } of [wrong, posted, unknownPosted]) assert.deepEqual(body, unknown.body);
    });

    test('A18 an unknown client and a wrong secret take the same time', async (t) => {
      const ask = (id: string) => async () => {
        const answer = await send('/token', form, { authorization: basic({ id, secret: 'wrong' }) });
        assert.equal(answer.status, 401);
      };
      await assertSameTime(t, ask('nobody'), ask(reporting.id));
    });

    test('A19 a secret works in the way that its client is registered for, and in no other', async () => {
      const asForm = ({ id, secret }: typeof posting) => ({ ...form, client_id: id, client_secret: secret });
      assert.equal((await send('/token', asForm(posting))).status, 200);
      assert.deepEqual(short(await send('/token', form, { authorization: basic(posting) })), invalid);
      assert.equal((await send('/token', form, { authorization: basic(reporting) })).status, 200);
      assert.deepEqual(short(await send('/token', asForm(reporting))), invalid);
      const signing = { id: 'signs-ES256', secret: 'whatever' };
      assert.deepEqual(short(await send('/token', form, { authorization: basic(signing) })), invalid);
      assert.deepEqual(short(await send('/token', asForm(signing))), invalid);
    });

    test('while one secret takes the place of another, either is right, and nothing else', async () => {
      const { id } = changing;
      for (const [secret, status] of [
        [changing.new, 200],
        [changing.old, 200],
        ['wrong', 401],
      ] as const) {
        const answer = await send('/token', form, { authorization: basic({ id, secret }) });
        assert.equal(answer.status, status, JSON.stringify(secret));
      }
    });

    test('A19 two ways at once are refused, though each is right', async () => {
      const headers = { authorization: basic(reporting) };
      const assertions = await authenticated(await assertion());
      const twofold: [Record<string, string>, Record<string, string>][] = [
        [{ ...form, client_id: reporting.id, client_secret: reporting.secret }, headers],
        [{ ...form, ...assertions }, headers],
        [{ ...form, ...assertions, client_id: posting.id, client_secret: posting.secret }, {}],
        [{ ...form, client_id: explorer.id }, headers],
      ];
      for (const [fields, sent] of twofold) {
        assert.deepEqual(short(await send('/token', fields, sent)), {
          status: 400,
          error: 'invalid_request',
        });
      }
    });

    test('A19 a secret in the address is no secret', async () => {
      const secret = new URLSearchParams({ client_id: posting.id, client_secret: posting.secret });
      assert.deepEqual(short(await send(`/token?${secret}`, form)), invalid);
      assert.deepEqual(short(await send(`/token?${secret}`, { ...form, client_id: posting.id })), invalid);
    });

    test('A19 Basic is form-encoded before it is Base64, so any secret can be sent (RFC 6749, 2.3.1)', async () => {
      assert.equal((await send('/token', form, { authorization: basic(odd) })).status, 200);
      const raw = `Basic ${btoa(`${odd.id}:${odd.secret}`)}`;
      assert.notEqual((await send('/token', form, { authorization: raw })).status, 200);
      for (const malformed of [
        'Basic',
        'Basic !',
        `Basic ${btoa('no-colon')}`,
        `Basic ${btoa('%zz:x')}`,
        `Basic ${btoa(`${odd.id}:`)}`,
        'Bearer x',
      ]) {
        const answer = await send('/token', form, { authorization: malformed });
        assert.deepEqual(short(answer), invalid, malformed);
        assert.match(answer.headers.get('www-authenticate') ?? '', /^Basic /, malformed);
      }
      const { body } = await send('/token', form, { authorization: `Basic ${btoa('%zz:x')}` });
      assert.match(body.error_description, /not properly encoded/, 'what most clients get wrong is told');
    });
  });

  suite('with an assertion', () => {
    const id = 'signs-ES256';
    const own = { id, key: keys.ES256?.private as JWK };
    const now = () => Math.floor(Date.now() / 1000);

    test('A20 works with each algorithm that is announced, and for one client with its own key', async () => {
      const { body } = await auth.send('/.well-known/openid-configuration');
      assert.deepEqual(body.token_endpoint_auth_signing_alg_values_supported, algorithms);
      for (const alg of algorithms) {
        const key = keys[alg]?.private as JWK;
        assert.equal(
          (await withAssertion(await assertion({}, { id: `signs-${alg}`, key, alg }))).status,
          200,
          alg,
        );
      }
      for (const [alg, other] of [
        ['ES256', 'PS256'],
        ['EdDSA', 'ES256'],
      ] as const) {
        const key = keys[alg]?.private as JWK;
        const foreign = await assertion({}, { id: `signs-${other}`, key, alg });
        assert.deepEqual(short(await withAssertion(foreign)), invalid);
      }
      assert.deepEqual(short(await withAssertion(await assertion({}, { id, key: secure.key }))), invalid);
    });

    test('A20 is for the issuer alone, short-lived, by and about the client', async () => {
      const refused = [
        { aud: `${issuer}/token` },
        { aud: `${issuer}/` },
        { aud: [issuer] },
        { aud: [issuer, 'https://elsewhere.example'] },
        { aud: undefined },
        { exp: undefined },
        { exp: now() - 60 },
        { exp: now() + 3600 },
        { exp: 1e300 },
        { nbf: now() + 60 },
        { jti: undefined },
        { iss: demoWeb.id },
        { sub: demoWeb.id },
        { sub: undefined },
        { iss: undefined },
      ];
      for (const claims of refused) {
        const answer = await withAssertion(await assertion(claims as JWTPayload, own));
        assert.deepEqual(short(answer), invalid, JSON.stringify(claims));
      }
      assert.equal((await withAssertion(await assertion({}, own))).status, 200);
    });

    test('A20 without a signature, or signed with something that is no secret, is worth nothing', async () => {
      const claims = { iss: id, sub: id, aud: issuer, jti: crypto.randomUUID(), exp: now() + 60 };
      const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
      const unsigned = ['none', 'None', 'ES256'].map((alg) => `${btoa(JSON.stringify({ alg }))}.${payload}.`);
      const publicPart = new TextEncoder().encode(JSON.stringify(keys.ES256?.public));
      const symmetric = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(publicPart);
      const jwk = keys.EdDSA?.public as JWK;
      const embedded = await new SignJWT(claims)
        .setProtectedHeader({ alg: 'EdDSA', jwk })
        .sign(await importJWK(keys.EdDSA?.private as JWK, 'EdDSA'));
      for (const refused of [...unsigned, symmetric, embedded]) {
        assert.deepEqual(short(await withAssertion(refused)), invalid, refused);
      }
      assert.equal((await withAssertion('nonsense')).status, 400);
    });

    test('A20 works once, at whatever endpoint, also when twenty requests bring it at once', async () => {
      const used = await assertion({}, own);
      assert.equal((await withAssertion(used)).status, 200);
      assert.deepEqual(short(await withAssertion(used)), invalid);
      assert.deepEqual(
        short(await send('/introspect', { token: 'x', ...(await authenticated(used)) })),
        invalid,
      );
      const raced = await assertion({}, own);
      const answers = await Promise.all(Array.from({ length: 20 }, () => withAssertion(raced)));
      assert.equal(answers.filter(({ status }) => status === 200).length, 1);
      for (const answer of answers) if (answer.status !== 200) assert.deepEqual(short(answer), invalid);
    });

    test('A20 a client that signs cannot come without an assertion, nor name another client beside it', async () => {
      assert.deepEqual(short(await send('/token', { ...form, client_id: id })), invalid);
      const client_assertion = await assertion({}, own);
      const other = await withAssertion(client_assertion, { ...form, client_id: posting.id });
      assert.deepEqual(short(other), { status: 400, error: 'invalid_request' });
      assert.equal((await withAssertion(client_assertion, { ...form, client_id: id })).status, 200);
    });
  });

  test('A27 A28 who says nothing of itself is asked to, at every endpoint for clients', async () => {
    const endpoints = ['/token', '/introspect', '/revoke', '/par', '/device/authorize'];
    for (const path of endpoints) {
      for (const accept of ['application/json', 'text/html', '*/*']) {
        const answer = await send(path, { ...form, token: 'x' }, { accept });
        assert.deepEqual(short(answer), invalid, `${path} ${accept}`);
        assert.match(answer.headers.get('www-authenticate') ?? '', /^Basic realm="http/, path);
        assert.match(answer.headers.get('content-type') ?? '', /^application\/json/, path);
      }
      const named = await send(path, { ...form, token: 'x', client_id: demoWeb.id });
      assert.deepEqual(short(named), invalid, path);
      assert.match(named.headers.get('www-authenticate') ?? '', /^Basic /, path);
    }
  });

  test('A14 refuses a parameter that is there twice', async () => {
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const assertions = new URLSearchParams(await authenticated());
    const own = `client_id=${posting.id}&client_secret=${posting.secret}`;
    const bodies = [
      `${own}&client_secret=x`,
      `${own}&client_id=${posting.id}`,
      `${assertions}&${assertions}`,
    ];
    for (const path of ['/token', '/par', '/revoke', '/introspect', '/device/authorize']) {
      for (const fields of bodies) {
        const body = `${new URLSearchParams(form)}&token=x&redirect_uri=${callback}&${fields}`;
        const answer = await auth.send(path, { method: 'POST', body, headers: type });
        assert.deepEqual(short(answer), { status: 400, error: 'invalid_request' }, `${path} ${fields}`);
      }
    }
    for (const path of ['/revoke', '/introspect']) {
      for (const name of ['token', 'token_type_hint']) {
        const body = `${own}&token=x&token_type_hint=access_token&${name}=x`;
        const answer = await auth.send(path, { method: 'POST', body, headers: type });
        assert.deepEqual(short(answer), { status: 400, error: 'invalid_request' }, `${path} ${name}`);
      }
    }
  });
});

test('an assertion is forgotten when it has expired, and its row can be used again', async (t) => {
  const auth = await startTestAuth({ env: { CLIENTS } });
  t.after(() => auth.close());
  const own = { id: 'signs-ES256', key: keys.ES256?.private as JWK };
  const jti = randomBytes(8).toString('hex');
  const ask = async () =>
    auth.post('/token', { ...form, ...(await authenticated(await assertion({ jti }, own))) });
  assert.equal((await ask()).status, 200);
  assert.equal((await ask()).status, 401);
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 10 * 60_000 });
  assert.equal((await ask()).status, 200);
});
