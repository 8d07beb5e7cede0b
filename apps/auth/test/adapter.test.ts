import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, suite, type TestContext, test } from 'node:test';
import {
  createMemoryDenylist,
  createRedisDenylistReader,
  createRedisDenylistWriter,
  type DenylistWriter,
} from '@gatehouse/denylist';
import { createLogger, createMetrics, type Db } from '@gatehouse/service-kit';
import { realServer, startRedis } from '@gatehouse/test-kit';
import { sql } from 'drizzle-orm';
import { createAuditLog } from '../src/audit/audit-log.ts';
import { createAdapterFactory } from '../src/protocol/adapter.ts';
import { createVault } from '../src/protocol/vault.ts';
import { createPresentedTokens } from '../src/revocation/presented-tokens.ts';
import { createRevocations } from '../src/revocation/revocation.ts';
import { createSessions } from '../src/sessions/sessions.ts';
import { openAuthDatabase } from './interaction-app.ts';

suite('a code that two redeem at once', () => {
  let db: Db;
  let close: () => Promise<void>;
  before(async () => ({ db, close } = await openAuthDatabase()));
  after(() => close());

  /** A grant whose one code somebody has redeemed already. */
  async function redeemed(t: TestContext, denylist: DenylistWriter) {
    const logger = createLogger({ name: 'auth', level: 'silent' });
    const revocations = createRevocations({ db, denylist, logger });
    t.after(() => revocations.close());
    const audit = createAuditLog({ db, metrics: createMetrics('auth'), logger });
    t.after(() => audit.close());
    const vault = createVault(randomBytes(32).toString('base64url'));
    const adapterOf = createAdapterFactory({
      db,
      vault,
      revocations,
      presented: createPresentedTokens(),
      sessions: createSessions({ db, vault, deliveries: { add: async () => {} } }),
      refreshGraceMs: 0,
      audit,
    });
    const [codes, grants] = [adapterOf('AuthorizationCode'), adapterOf('Grant')];
    const [code, grantId] = [randomUUID(), randomUUID()];
    await grants.upsert(grantId, { accountId: 'alice' }, 60);
    await codes.upsert(code, { grantId }, 60);
    await codes.consume(code);
    const reference = { jti: 'any', sub: 'any', iat: 0, gid: grantId };
    return {
      reference,
      redeemAgain: () => codes.consume(code),
      isRevoked: () => revocations.isRevoked(reference),
      isKept: async () => [await codes.find(code), await grants.find(grantId)].every(Boolean),
      isGone: async () => ![await codes.find(code), await grants.find(grantId)].some(Boolean),
    };
  }

  test(
    'R25 ends the grant while Redis is away, says 503, and denies it when Redis is back',
    realServer('redis', {
      own: true,
    }),
    async (t) => {
      const redis = await startRedis(t, { own: true });
      const denylist = createRedisDenylistWriter({ url: redis.url });
      const reader = createRedisDenylistReader({ url: redis.url });
      try {
        const grant = await redeemed(t, denylist);
        await redis.stop();
        await assert.rejects(grant.redeemAgain(), { status: 503, error: 'temporarily_unavailable' });
        assert.equal(await grant.isRevoked(), true);
        assert.equal(await grant.isGone(), true);

        await redis.restart();
        // The marker that everything is there is what a reader waits for.
        await reader.ready();
        assert.equal(reader.isRevoked(grant.reference), true);
      } finally {
        await reader.close();
        await denylist.close();
      }
    },
  );

  test('A08 forgets nothing of a grant that could not be revoked, so that the next attempt ends it', async (t) => {
    const denylist = createMemoryDenylist();
    t.after(() => denylist.close());
    const grant = await redeemed(t, denylist);
    await db.execute(sql`alter table auth.revocations add constraint no_room check (value = '') not valid`);
    await assert.rejects(grant.redeemAgain(), { status: 503 });
    assert.equal(await grant.isKept(), true);

    await db.execute(sql`alter table auth.revocations drop constraint no_room`);
    await assert.rejects(grant.redeemAgain(), { error: 'invalid_grant' });
    assert.equal(await grant.isRevoked(), true);
    assert.equal(await grant.isGone(), true);
  });
});
