import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Provider } from 'oidc-provider';
import { issuer } from './start-test-auth.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const sources = globSync('{apps,packages,e2e}/**/*.ts', {
  cwd: root,
  exclude: (name) => name.includes('node_modules'),
}).map((path) => ({ path, text: readFileSync(root + path, 'utf8') }));

const pathsWith = (pattern: RegExp) =>
  sources
    .filter(({ text }) => pattern.test(text))
    .map(({ path }) => path)
    .sort();

test('nothing imports a file from inside oidc-provider', () => {
  assert.ok(sources.length > 100);
  assert.deepEqual(pathsWith(/['"`](?:[^'"`\n]*node_modules\/)?oidc-provider\/[^'"`\n]/), []);
});

test('what oidc-provider has no setting for is changed in four files, and nowhere else', () => {
  const changes = /\.prototype\b|\{ prototype \}|defineProperty\(|assign\([A-Z]\w*, \{/;
  assert.deepEqual(
    pathsWith(changes).filter((path) => path.startsWith('apps/auth/src/')),
    ['ended-sessions', 'mend-provider', 'refresh-grace', 'replay'].map(
      (name) => `apps/auth/src/protocol/${name}.ts`,
    ),
  );
});

test('what is changed in oidc-provider is there to be changed', () => {
  const provider = new Provider(issuer);
  const { Client, Session, RefreshToken, ReplayDetection } = provider;
  const methods: [object, string[]][] = [
    [Client.prototype, ['grantTypeAllowed', 'compareClientSecret', 'backchannelLogout']],
    [Session.prototype, ['save', 'persist', 'destroy', 'loginAccount', 'resetIdentifier']],
    [RefreshToken.prototype, ['save']],
    [RefreshToken, ['find']],
    [ReplayDetection, ['unique']],
    [provider, ['createContext', 'cookieName']],
  ];
  for (const [owner, names] of methods) {
    for (const name of names) assert.equal(typeof Reflect.get(owner, name), 'function', name);
  }
  assert.ok(Array.isArray(Reflect.get(Session, 'IN_PAYLOAD')));
  assert.ok('ctx' in Provider);
});

test('the code of oidc-provider beside which ours stands is the code that ours was written for', () => {
  const known: Record<string, string> = {
    'actions/code_verification.js': '9KII0G0h8ofz',
    'actions/end_session.js': 'JZ7nr6reJt7E',
    'actions/grants/authorization_code.js': 'LUbc-ZWASVYE',
    'actions/grants/refresh_token.js': '07zrseRIVF4N',
    'actions/token.js': 'sCJGAJgQrNZ8',
    'actions/userinfo.js': 'maorNNiRyVxH',
    'helpers/grant_refresh_token.js': 'zdbhUIxq-xql',
    'helpers/initialize_app.js': 'gsx6aJocWQce',
    'helpers/token_find.js': '8KbGUibP83dl',
    'helpers/user_codes.js': 'V_V7_wMRjZnJ',
    'helpers/validate_dpop.js': 'k3mRJDoCKH2j',
    'models/base_model.js': 'd2I8HX122ED5',
    'models/base_token.js': 'hHFwjTv2cJXN',
    'models/client.js': 'N4QccLcr5pKX',
    'models/refresh_token.js': 'OVdj-6BbfetO',
    'models/replay_detection.js': 'BDgo_adYh-ZV',
    'models/session.js': 'MFr_nvfJw8Dw',
    'shared/client_auth.js': 'Lvgyws5Ak8u7',
    'shared/jwt_client_auth.js': 'u7rLgHaE4E5-',
    'shared/reject_structured_tokens.js': 'Qu-5RE2Pvz4K',
    'shared/selective_body.js': 'hQ2kcC3gEUXz',
    'shared/session.js': '1ymdg1i786jE',
  };
  const lib = import.meta.resolve('oidc-provider');
  const found = Object.keys(known).map((path) => {
    return [path, hash('sha256', readFileSync(new URL(path, lib), 'utf8'), 'base64url').slice(0, 12)];
  });
  assert.deepEqual(Object.fromEntries(found), known, 'read what has changed, then put its hash here');
});
