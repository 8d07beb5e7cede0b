import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromSomewhere } from './registering.ts';
import { assertSameTime } from './same-time.ts';
import { authorizeUrl, startTestAuth } from './start-test-auth.ts';

test('A46 a name that nobody has is refused as late as a wrong password', async (t) => {
  const auth = await startTestAuth();
  t.after(() => auth.close());
  const browser = auth.browser();
  const form = await browser.open(authorizeUrl());
  const attempt = (username: string) => async () => {
    const credentials = { username, password: 'not-the-password' };
    const { status } = await browser.submit(form, credentials, { headers: fromSomewhere() });
    assert.equal(status, 401);
  };
  await assertSameTime(t, attempt('nobody-at-all'), attempt('alice'));
});
