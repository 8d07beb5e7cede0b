import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ConfigError, loadConfig } from '@gatehouse/service-kit';
import { nodeSettings } from '@gatehouse/test-kit';
import { exportJWK, generateKeyPair } from 'jose';
import { deviceGrant } from '../src/clients/clients.ts';
import { clientsOf } from '../src/clients/configured-clients.ts';
import { AuthConfigSchema, AuthProcessConfigSchema } from '../src/config.ts';
import { apiAudience } from '../src/protocol/scopes.ts';
import {
  authorizeUrl,
  basic,
  encryptionKey,
  issuer,
  redemption,
  signIn,
  startTestAuth,
  type TestAuth,
} from './start-test-auth.ts';

const secret = 'a-secret-of-more-than-32-characters-for-tests';
const shop = {
  client_id: 'shop',
  client_name: 'Shop',
  client_secret: secret,
  redirect_uris: ['https://shop.example/callback'],
};
const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
const jwks = { keys: [await exportJWK(publicKey)] };
const signing = { ...shop, client_secret: undefined, token_endpoint_auth_method: 'private_key_jwt', jwks };
const bare = { client_id: 'bare', client_name: 'Bare', token_endpoint_auth_method: 'none' };

const environment = {
  PORT: '0',
  ISSUER: issuer,
  DATABASE_URL: 'postgres://nowhere.invalid/auth',
  REDIS_URL: 'redis://nowhere.invalid',
  ENCRYPTION_KEY: encryptionKey,
  ORDERS_CLIENT_SECRET: 'orders-secret-for-tests',
  USERS_CLIENT_SECRET: 'users-secret-for-tests',
};

/** What the server says about these clients when it starts, and does not. */
function faults(clients: unknown, env: Record<string, string> = {}): readonly string[] {
  const CLIENTS = typeof clients === 'string' ? clients : JSON.stringify(clients);
  const schema = env.NODE_ENV === 'production' ? AuthProcessConfigSchema : AuthConfigSchema;
  try {
    clientsOf(loadConfig(schema, { ...environment, ...env, CLIENTS }));
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    for (const fault of error.faults) {
      assert.ok(!fault.includes(secret) && !fault.includes('\n'), fault);
    }
    return error.faults;
  }
}

suite('clients of the configuration', () => {
  test('what the README shows is taken, with a secret that is the same with and without form-encoding', async () => {
    const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
    const [, example = ''] = /^```json\n(.*?)^```/ms.exec(readme) ?? [];
    const [client] = JSON.parse(example);
    const [command = '', ...args] = client.client_secret.split(' ');
    const client_secret = execFileSync(command, args, { encoding: 'utf8' }).trim();
    assert.deepEqual(faults([{ ...client, client_secret }]), []);
    // curl -u and most libraries send it as it is; a plus would be read as a space.
    assert.equal(new URLSearchParams({ client_secret }).toString(), `client_secret=${client_secret}`);
  });

  test('every kind of client is taken as it stands, and nothing set means none', () => {
    const kinds = [
      shop,
      { ...shop, token_endpoint_auth_method: 'client_secret_post' },
      { ...signing, require_pushed_authorization_requests: true, dpop_bound_access_tokens: true },
      { ...bare, redirect_uris: ['http://localhost:3000/callback'] },
      {
        ...bare,
        application_type: 'native',
        redirect_uris: ['http://127.0.0.1/cb', 'http://[::1]/cb', 'com.example.app:/cb'],
      },
      { ...bare, grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'] },
      {
        ...shop,
        redirect_uris: undefined,
        grant_types: ['client_credentials'],
        allowed_scopes: 'items:read orders:read',
      },
      {
        ...shop,
        backchannel_logout_uri: 'https://shop.example/logout',
        post_logout_redirect_uris: ['https://shop.example/'],
      },
    ];
    for (const kind of kinds) assert.deepEqual(faults([kind]), [], JSON.stringify(kind));
    assert.deepEqual(faults(''), []);
    assert.deepEqual(faults([]), []);
  });

  test('R40 each fault has a line of its own that names its place and no value', () => {
    const unclear = [
      ['{', 'CLIENTS: must be JSON'],
      [`[{"client_secret":"${secret}"`, 'CLIENTS: must be JSON'],
      ['{}', 'CLIENTS: must be a list of clients'],
    ] as const;
    for (const [text, fault] of unclear) assert.deepEqual(faults(text), [fault]);
    const several = [{ ...shop, client_id: undefined }, { ...shop, client_secret: 'short' }, shop, shop];
    assert.deepEqual(faults(several), [
      'CLIENTS.0.client_id: is required',
      'CLIENTS.1.client_secret: must have 32 to 200 characters, all of them ASCII',
    ]);
    const weak = faults([{ ...shop, client_secret: `${secret}\nshort` }]);
    assert.deepEqual(weak, ['CLIENTS.0.client_secret: must have 32 to 200 characters, all of them ASCII']);
    assert.deepEqual(faults([shop, shop]), ['CLIENTS.1.client_id: is the name of another client']);
  });

  test('of two secrets of a service, each must be long, and in production none the demo’s', () => {
    const secondIs = (second: string) =>
      faults([], { NODE_ENV: 'production', ORDERS_CLIENT_SECRET: `orders-secret-for-tests\n${second}` });
    assert.deepEqual(secondIs('short'), ['ORDERS_CLIENT_SECRET: must have at least 16 characters']);
    for (const second of ['demo-orders-service-secret', 'demo-of-a-client-to-come'])
      assert.deepEqual(secondIs(second), ['ORDERS_CLIENT_SECRET: is the public one of the demo']);
    assert.deepEqual(secondIs('another-secret-for-tests'), []);
  });

  test('the key of the demo is refused in production, by whatever name the project goes since', () => {
    const ENCRYPTION_KEY = Buffer.from('otherwise-demo-key-not-a-secret!').toString('base64url');
    assert.deepEqual(faults([], { NODE_ENV: 'production', ENCRYPTION_KEY }), [
      'ENCRYPTION_KEY: is the public one of the demo',
    ]);
  });

  test('Z14 what is unknown, unsafe, or would be fetched is no field of a client', () => {
    for (const name of [
      'jwks_uri',
      'request_uris',
      'sector_identifier_uri',
      'logo_uri',
      'response_types',
      'id_token_signed_response_alg',
      'subject_type',
      'require_pushed_authorisation_requests',
    ]) {
      assert.deepEqual(faults([{ ...shop, [name]: 'https://shop.example/' }]), [
        `CLIENTS.0: Unrecognized key: "${name}"`,
      ]);
    }
  });

  test('the name of another client is taken, one of the demo’s as long as there is a demo', () => {
    const taken = 'CLIENTS.0.client_id: is the name of another client';
    for (const client_id of ['orders-service', 'users-service', 'account-pages']) {
      assert.deepEqual(faults([{ ...shop, client_id }]), [taken]);
    }
    for (const client_id of ['explorer', 'demo-web']) {
      assert.deepEqual(faults([{ ...shop, client_id }], { DEMO: 'true' }), [taken]);
      assert.deepEqual(faults([{ ...shop, client_id }]), []);
    }
  });

  test('A01 A57 an address of a client is exact, and on the web or on the machine where the client is', () => {
    const at = (client: object, uri: string) => faults([{ ...client, redirect_uris: [uri] }]).length === 0;
    const refused = [
      'http://shop.example/callback',
      'https://shop.example/callback#part',
      'https://shop.example/callback#',
      'https://*.shop.example/callback',
      'https://user:pass@shop.example/callback',
      'https://user@shop.example/callback',
      'https://:pass@shop.example/callback',
      'javascript:alert(1)',
      'data:text/html,x',
      'com.example.app:/callback',
      'callback',
      'https://shop.example/a b',
      'https:\\\\shop.example',
    ];
    for (const uri of refused) assert.equal(at(shop, uri), false, uri);
    const native = { ...bare, application_type: 'native' };
    for (const uri of [
      'http://localhost/cb',
      'http://192.168.0.1/cb',
      'https://127.0.0.1/cb',
      'app:/cb',
      'javascript:x',
      'file:///cb',
    ]) {
      assert.equal(at(native, uri), false, uri);
    }
    assert.equal(at(shop, 'http://localhost:3000/callback'), true);
    const elsewhere = { ...shop, post_logout_redirect_uris: ['http://shop.example/'] };
    assert.equal(faults([elsewhere]).length, 1);
    assert.equal(faults([{ ...shop, backchannel_logout_uri: 'http://shop.example/logout' }]).length, 1);
  });

  test('A57 in production a client on the web has no address without TLS', () => {
    const production = { NODE_ENV: 'production', ISSUER: 'https://auth.example' };
    assert.deepEqual(faults([shop], production), []);
    const local = 'http://localhost:3000/';
    const insecure = {
      ...shop,
      redirect_uris: [local],
      post_logout_redirect_uris: [local],
      backchannel_logout_uri: local,
    };
    assert.deepEqual(
      faults([insecure], production),
      ['redirect_uris', 'post_logout_redirect_uris', 'backchannel_logout_uri'].map(
        (name) => `CLIENTS.0.${name}: must be https in production`,
      ),
    );
    const native = { ...bare, application_type: 'native', redirect_uris: ['http://127.0.0.1/cb'] };
    assert.deepEqual(faults([native], production), []);
  });

  test('what a client has fits how it authenticates and what it may do', async () => {
    const privateJwk = await exportJWK(privateKey);
    const weak = await exportJWK((await generateKeyPair('PS256', { modulusLength: 2048 })).publicKey);
    const wrong: [object, string][] = [
      [{ ...shop, client_secret: undefined }, 'client_secret: is required with client_secret_basic'],
      [{ ...shop, token_endpoint_auth_method: 'none' }, 'client_secret: has no place with none'],
      [{ ...signing, jwks: undefined }, 'jwks: is required with private_key_jwt'],
      [{ ...signing, client_secret: secret }, 'client_secret: has no place with private_key_jwt'],
      [{ ...shop, jwks }, 'jwks: has no place with client_secret_basic'],
      [{ ...signing, jwks: { keys: [privateJwk] } }, 'jwks.keys.0: Unrecognized key: "d"'],
      [
        { ...signing, jwks: { keys: [{ ...jwks.keys[0], x: 'x' }] } },
        'jwks.keys.0: is no key, or an RSA key of less than 2048 bits or with a small exponent',
      ],
      [
        { ...signing, jwks: { keys: [{ ...weak, n: weak.n?.slice(0, 170) }] } },
        'jwks.keys.0: is no key, or an RSA key of less than 2048 bits or with a small exponent',
      ],
      [
        { ...signing, jwks: { keys: [{ ...weak, e: 'AQ' }] } },
        'jwks.keys.0: is no key, or an RSA key of less than 2048 bits or with a small exponent',
      ],
      [{ ...shop, redirect_uris: [] }, 'redirect_uris: are required with these grant_types'],
      [
        { ...shop, grant_types: ['client_credentials'] },
        'redirect_uris: have no place with these grant_types',
      ],
      [
        { ...bare, grant_types: ['client_credentials'] },
        'grant_types: client_credentials is for clients that authenticate',
      ],
      [
        { ...bare, grant_types: [deviceGrant], resource_audience: apiAudience },
        'resource_audience: is for clients that authenticate',
      ],
      [
        { ...shop, redirect_uris: [], grant_types: ['client_credentials', 'refresh_token'] },
        'grant_types: refresh_token needs a grant that a person gives',
      ],
    ];
    for (const [client, fault] of wrong) assert.deepEqual(faults([client]), [`CLIENTS.0.${fault}`]);
    for (const grant of ['password', 'implicit', 'urn:ietf:params:oauth:grant-type:token-exchange']) {
      assert.equal(faults([{ ...shop, grant_types: [grant] }]).length, 1, grant);
    }
    for (const allowed_scopes of ['items:reserve', 'items:read items:read', 'openid', 'accounts:admin']) {
      assert.equal(faults([{ ...shop, allowed_scopes }]).length, 1, allowed_scopes);
    }
    for (const resource_audience of ['', 'urn:gatehouse:items', 'urn:gatehouse:accounts', [apiAudience]]) {
      assert.equal(faults([{ ...shop, resource_audience }]).length, 1, `${resource_audience}`);
    }
    for (const client_name of ['a\nb', 'a\u2028b', 'Bank\u200b', '\u202eknaB', '\u2067Bank', '\ud800', '']) {
      assert.equal(faults([{ ...shop, client_name }]).length, 1, JSON.stringify(client_name));
    }
    for (const client_id of ['a b', 'a/b', 'a?b', 'a%2Fb', 'a;b', '..', '']) {
      assert.equal(faults([{ ...shop, client_id }]).length, 1, client_id);
    }
    assert.deepEqual(faults([{ ...shop, client_id: 'shop.example:web@1' }]), []);
  });

  test('R40 a process that is told of a bad client says so and exits 78', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'clients-'));
    t.after(() => rm(folder, { recursive: true }));
    const file = join(folder, 'clients.json');
    await writeFile(file, JSON.stringify([{ ...shop, client_id: 'orders-service' }]));
    const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
    const env = { ...environment, CLIENTS_FILE: file };
    const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
      execFile(
        process.execPath,
        [main],
        { env: { ...nodeSettings, ...env }, timeout: 20_000 },
        (error, _stdout, stderr) => resolve({ code: error?.code ?? 0, stderr }),
      );
    });
    assert.equal(code, 78);
    assert.equal(stderr.trim(), 'auth: CLIENTS.0.client_id: is the name of another client');
  });
});

suite('a client of the configuration, at work', () => {
  const redirect_uri = 'http://localhost:9999/callback';
  const web = {
    ...shop,
    redirect_uris: [redirect_uri],
    grant_types: ['authorization_code', 'refresh_token'],
    allowed_scopes: 'items:read',
  };
  const native = {
    ...bare,
    application_type: 'native',
    redirect_uris: ['http://127.0.0.1/callback', 'com.example.app:/callback'],
    allowed_scopes: 'items:read',
  };
  const service = {
    client_name: 'Service',
    client_secret: secret,
    grant_types: ['client_credentials'],
    allowed_scopes: 'items:read',
  };
  const reporting = { ...service, client_id: 'reporting' };
  const proxy = { ...service, client_id: 'proxy', resource_audience: apiAudience };
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth({ env: { CLIENTS: JSON.stringify([web, native, reporting, proxy]) } });
  });
  after(() => auth.close());

  const requested = (changes: Record<string, string>) =>
    signIn(
      auth.browser(),
      authorizeUrl({ scope: 'openid offline_access items:read orders:write', ...changes }),
    );

  test('signs people in, refreshes, and gets the scopes that it may have', async () => {
    const client = { id: web.client_id, secret };
    const answer = await requested({ client_id: client.id });
    const { status, body } = await auth.token(redemption(answer), client);
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.scope, 'openid items:read');
    assert.equal((await auth.refresh(body.refresh_token, {}, client)).status, 200);
    const form = { grant_type: 'client_credentials', scope: 'items:read' };
    assert.equal((await auth.token(form, client)).body.error, 'unauthorized_client');
  });

  test('is told about the tokens of others where it is a service that takes them, and nowhere else', async () => {
    const as = ({ client_id }: { client_id: string }) => ({ id: client_id, secret });
    const form = { grant_type: 'client_credentials', scope: 'items:read' };
    const { access_token: token } = (await auth.token(form, as(reporting))).body;
    const told = async (client: { client_id: string }) =>
      (await auth.post('/introspect', { token }, as(client))).body;
    assert.equal((await told(proxy)).client_id, reporting.client_id);
    assert.deepEqual(await told(web), { active: false });
    assert.equal((await auth.post('/revoke', { token }, as(proxy))).body.error, 'unauthorized_client');
    assert.equal((await auth.post('/revoke', { token }, as(reporting))).status, 200);
    assert.deepEqual(await told(proxy), { active: false });
  });

  test('A02 answers on its own machine at any port, when it is native', async () => {
    const redirect_uri = 'http://127.0.0.1:54321/callback';
    const answer = await requested({ client_id: native.client_id, redirect_uri });
    const { status } = await auth.token({ ...redemption(answer), redirect_uri }, { id: native.client_id });
    assert.equal(status, 200);
  });

  test('A17 T14 a scheme of its own is no origin: pages of no origin read no answer for it', async () => {
    const body = new URLSearchParams({ client_id: native.client_id, grant_type: 'authorization_code' });
    const from = async (origin: string) =>
      (await auth.send('/token', { method: 'POST', body, headers: { origin } })).headers;
    assert.equal((await from('null')).get('access-control-allow-origin'), null);
    assert.equal((await from('http://127.0.0.1')).get('access-control-allow-origin'), 'http://127.0.0.1');
  });

  test('its secret is kept as a hash, which does not work as the secret, and is in no log', async () => {
    const { CLIENTS } = loadConfig(AuthConfigSchema, { ...environment, CLIENTS: JSON.stringify([web]) });
    assert.ok(!JSON.stringify(CLIENTS).includes(secret));
    const hash = createHash('sha256').update(secret).digest('hex');
    const headers = { authorization: basic({ id: web.client_id, secret: hash }) };
    assert.equal(
      (await auth.send('/revoke', { method: 'POST', body: new URLSearchParams({ token: 'x' }), headers }))
        .status,
      401,
    );
    assert.ok(!auth.log.join('').includes(secret));
  });
});
