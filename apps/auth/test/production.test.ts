import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { createBrowser } from '@gatehouse/test-kit';
import { authorizeUrl, startTestAuth, type TestAuth } from './start-test-auth.ts';

const issuer = 'https://auth.example';

suite('behind TLS, without the password grant', () => {
  let auth: TestAuth;
  before(async () => {
    auth = await startTestAuth({ env: { ISSUER: issuer, ALLOW_PASSWORD_GRANT: 'false' } });
  });
  after(() => auth.close());

  test('A35 the password grant is neither announced nor served', async () => {
    const { body } = await auth.send('/.well-known/openid-configuration');
    assert.ok(!body.grant_types_supported.includes('password'));
    assert.equal((await auth.password()).body.error, 'unsupported_grant_type');
  });

  test('A44 H34 cookies are for TLS alone, and the session’s for this host alone', async () => {
    const browser = createBrowser({ connectTo: { [issuer]: auth.url } });
    const page = await browser.open(new URL(new URL(authorizeUrl()).search, `${issuer}/authorize`).href);
    assert.ok(page.url.startsWith(`${issuer}/interaction/`), page.url);
    assert.match(page.headers.get('strict-transport-security') ?? '', /max-age=\d{8}/);
    const answer = await browser.submit(page, { username: 'alice', password: 'alice-demo-pass' });
    assert.equal(answer.status, 200);
    for (const { name, attributes } of browser.cookies) assert.ok('secure' in attributes, name);
    const session = browser.cookies.find(({ name }) => name === '__Host-session');
    assert.equal(session?.path, '/');
    assert.ok(session && !('domain' in session.attributes));
  });
});
