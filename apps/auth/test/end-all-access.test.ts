import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createLogger, openDatabase } from '@gatehouse/service-kit';
import { realServer, startPostgres } from '@gatehouse/test-kit';
import { sql } from 'drizzle-orm';
import { authorizeUrl, encryptionKey, startTestAuth } from './start-test-auth.ts';

const script = readFileSync(new URL('../../../infra/postgres/end-all-access.sql', import.meta.url), 'utf8');
const migrations = new URL('../migrations', import.meta.url);

test(
  'what ends all access leaves nothing that is good, under the same key or another',
  realServer('postgres'),
  async (t) => {
    const { url: databaseUrl } = await startPostgres(t);
    const before = await startTestAuth({ databaseUrl });
    const browser = before.browser();
    const { accessToken, refreshToken } = await before.signedIn('alice', browser);
    await before.close();

    for (const ENCRYPTION_KEY of [encryptionKey, randomBytes(32).toString('base64url')]) {
      const logger = createLogger({ name: 'auth', level: 'silent' });
      const { db, close } = await openDatabase({ url: databaseUrl }, { name: 'auth', migrations, logger });
      await db.execute(sql.raw(script));
      await close();

      const auth = await startTestAuth({ databaseUrl, env: { ENCRYPTION_KEY } });
      t.after(auth.close);
      assert.equal((await auth.refresh(refreshToken)).body.error, 'invalid_grant');
      assert.equal((await auth.userinfo(accessToken)).status, 401);
      const again = auth.browser();
      again.cookies.push(...browser.cookies);
      const page = await again.open(authorizeUrl({ prompt: undefined }));
      assert.ok('password' in (page.forms[0]?.fields ?? {}), 'still signed in');
      const { accessToken: next } = await auth.signedIn('bob');
      assert.equal((await auth.userinfo(next)).status, 200);
      await auth.close();
    }
  },
);
