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

  test('A44 so are the cookie of the registration, and the session that a new password gives', async () => {
    const browser = createBrowser({ connectTo: { [issuer]: auth.url } });
    const form = await browser.open(`${issuer}/register`);
    const mark = browser.cookies.find(({ name }) => name === 'mark');
    assert.ok(mark && 'httponly' in mark.attributes && 'secure' in mark.attributes);
    assert.equal(mark.attributes.samesite, 'lax');
    const [username, password, next] = ['tls-person', 'seven grey herons', 'eleven brown otters'];
    const fields = { username, password, again: password };
    const known = mark.value;
    mark.value = `${known.slice(1)}A`;
    assert.equal((await browser.submit(form, fields)).status, 403, 'a changed one counts for nothing');
    const again = await browser.open(form.url);
    assert.equal((await browser.submit(again, fields)).status, 200);
    await browser.submit(await browser.open(`${issuer}/account`), { username, password });
    const session = () => browser.cookies.find(({ name }) => name === '__Host-session');
    const before = session()?.value;
    const change = await browser.open(`${issuer}/account/password`);
    const changed = await browser.submit(change, { current: password, password: next, again: next });
    assert.match(changed.text, /Your password has been changed/);
    const renewed = session();
    assert.notEqual(renewed?.value, before);
    assert.ok(renewed && 'secure' in renewed.attributes && 'httponly' in renewed.attributes);
    assert.deepEqual([renewed.path, renewed.attributes.samesite], ['/', 'lax']);
  });
});
