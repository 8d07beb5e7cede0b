import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type RealServer, realServer, startPostgres, startRedis } from '@gatehouse/test-kit';
import {
  assertion,
  authenticated,
  boundTokens,
  createProver,
  post,
  pushedUrl,
  requestOf,
} from './secure-client.ts';
import { type Answer, signIn, startTestAuth, type TestAuth } from './start-test-auth.ts';

const needed = { skip: realServer('postgres').skip || realServer('redis').skip };

suite('what works once, brought to two processes on one PostgreSQL', needed, () => {
  let postgres: RealServer;
  let redis: RealServer;
  let servers: [TestAuth, TestAuth];
  before(async () => {
    [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    const start = () => startTestAuth({ databaseUrl: postgres.url, redisUrl: redis.url, ownProcess: true });
    servers = await Promise.all([start(), start()]);
  });
  after(async () => {
    for (const server of servers ?? []) await server.close();
    await postgres?.stop();
    await redis?.stop();
  });

  /** Does the same twenty times at once, half of it at each server. */
  const race = (ask: (auth: TestAuth) => Promise<Answer>): Promise<Answer[]> =>
    Promise.all(Array.from({ length: 20 }, (_, i) => ask(servers[i % 2] as TestAuth)));

  function assertOnce(answers: readonly Answer[], status: number, error: string): void {
    assert.equal(answers.filter((answer) => answer.status === 200).length, 1);
    const others = answers.filter((answer) => answer.status !== 200);
    for (const answer of others) assert.deepEqual([answer.status, answer.body.error], [status, error]);
  }

  test('A20 an assertion authenticates one request', async () => {
    const form = { token: 'x', ...(await authenticated(await assertion())) };
    assertOnce(await race((auth) => auth.post('/introspect', form)), 401, 'invalid_client');
  });

  test('a proof, with assertions and refresh tokens of its own each time, binds one answer', async () => {
    const prover = await createProver();
    const families: Awaited<ReturnType<typeof boundTokens>>[] = [];
    // One after the other: twenty passwords at once keep a slow machine busy for too long.
    while (families.length < 20) families.push(await boundTokens(servers[0], prover));
    const proof = await prover.proof('POST', '/token');
    const answers = await race((auth) => {
      const { refresh_token = '' } = families.pop() ?? {};
      return post(auth, '/token', { grant_type: 'refresh_token', refresh_token }, proof);
    });
    assertOnce(answers, 400, 'invalid_dpop_proof');
  });

  test('A31 what was pushed to one is known to the other, and gives one code', async () => {
    const [one, other] = servers;
    const { body } = await post(one, '/par', requestOf());
    const url = pushedUrl(body.request_uri);
    assert.ok((await signIn(other.browser(), url)).searchParams.get('code'));
    const { text } = await one.browser().open(url);
    assert.match(text, /invalid_request_uri/);
  });
});
