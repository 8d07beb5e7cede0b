import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { createMemoryDenylist } from '@gatehouse/denylist';
import { createLogger, createMetrics, type Db } from '@gatehouse/service-kit';
import type { AdapterFactory } from 'oidc-provider';
import { createAuditLog } from '../src/audit/audit-log.ts';
import { createAdapterFactory } from '../src/protocol/adapter.ts';
import { Replayed } from '../src/protocol/replay.ts';
import { createVault } from '../src/protocol/vault.ts';
import { createPresentedTokens } from '../src/revocation/presented-tokens.ts';
import { createRevocations } from '../src/revocation/revocation.ts';
import { createSessions } from '../src/sessions/sessions.ts';
import { openAuthDatabase } from './interaction-app.ts';
import { encryptionKey } from './start-test-auth.ts';

suite('what the store keeps once', () => {
  const closing: (() => Promise<void>)[] = [];
  let adapterOf: AdapterFactory;
  before(async () => {
    const { db, close } = await openAuthDatabase();
    closing.push(close);
    adapterOf = createAdapterFactory({ db, ...partsOn(db) });
  });
  after(async () => {
    for (const close of closing.reverse()) await close();
  });

  function partsOn(db: Db) {
    const logger = createLogger({ name: 'auth', level: 'silent' });
    const revocations = createRevocations({ db, denylist: createMemoryDenylist(), logger });
    const audit = createAuditLog({ db, metrics: createMetrics('auth'), logger });
    closing.push(revocations.close, audit.close);
    const vault = createVault(encryptionKey);
    const sessions = createSessions({ db, vault, deliveries: { add: async () => {} } });
    return { vault, revocations, audit, sessions, presented: createPresentedTokens(), refreshGraceMs: 0 };
  }

  test('A20 of twenty that write the same assertion or proof at once, nineteen hear that it is there', async () => {
    const replays = adapterOf('ReplayDetection');
    const id = randomUUID();
    const writes = Array.from({ length: 20 }, () => replays.upsert(id, { iss: 'somebody' }, 60));
    const refused = (await Promise.allSettled(writes)).filter(({ status }) => status === 'rejected');
    assert.equal(refused.length, 19);
    for (const { reason } of refused as PromiseRejectedResult[]) assert.ok(reason instanceof Replayed);
  });

  test('A31 a pushed request that is used up says so in its own words', async () => {
    const requests = adapterOf('PushedAuthorizationRequest');
    await requests.upsert('pushed', { request: 'some' }, 60);
    await requests.consume('pushed');
    await assert.rejects(async () => requests.consume('pushed'), {
      status: 400,
      error: 'invalid_request_uri',
    });
  });
});
