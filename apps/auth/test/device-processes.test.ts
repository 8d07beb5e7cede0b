import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type RealServer, realServer, startPostgres } from '@gatehouse/test-kit';
import { allowDevice, enterCode, poll, requestCode } from './device-flow.ts';
import { startTestAuth, type TestAuth } from './start-test-auth.ts';

suite('the device grant at two servers on one PostgreSQL', realServer('postgres'), () => {
  let postgres: RealServer;
  let servers: [TestAuth, TestAuth];
  before(async () => {
    postgres = await startPostgres();
    const start = () => startTestAuth({ databaseUrl: postgres.url });
    servers = await Promise.all([start(), start()]);
  });
  after(async () => {
    for (const server of servers ?? []) await server.close();
    await postgres?.stop();
  });

  const atOnce = <Result>(count: number, send: (server: TestAuth) => Promise<Result>): Promise<Result[]> =>
    Promise.all(Array.from({ length: count }, (_, i) => send(servers[i % 2] as TestAuth)));

  test('A29 both count the same questions', async () => {
    const { device_code } = await requestCode(servers[0]);
    const answers = await atOnce(20, (server) => poll(server, device_code));
    assert.equal(answers.filter(({ body }) => body.error === 'authorization_pending').length, 1);
    assert.equal(answers.filter(({ body }) => body.error === 'slow_down').length, 19);
  });

  test('A30 R17 one approved code, asked for 20 times at once through both, gives exactly one answer', async () => {
    for (let round = 0; round < 5; round += 1) {
      const code = await requestCode(servers[0]);
      await allowDevice(servers[1].browser(), code);
      const answers = await atOnce(20, (server) => poll(server, code.device_code));
      assert.equal(answers.filter(({ status }) => status === 200).length, 1);
      for (const { status, body } of answers)
        assert.ok(status === 200 || body.error === 'invalid_grant', body.error);
    }
  });

  test('two who confirm one code at once, each at a server, do not share a device', async () => {
    for (let round = 0; round < 6; round += 1) {
      const { user_code } = await requestCode(servers[0]);
      const people = await atOnce(2, async (server) => {
        const browser = server.browser();
        return { browser, question: await enterCode(browser, user_code) };
      });
      const pages = await Promise.all(
        people.map(({ browser, question }) => browser.submit(question, {}, { button: 'Continue' })),
      );
      assert.deepEqual(pages.map(({ status }) => status).sort(), [200, 400]);
    }
  });

  test('A30 both count the same wrong codes', async () => {
    const pages = await atOnce(30, (server) =>
      enterCode(server.browser(), 'ZZZZ-ZZZZ', { 'x-forwarded-for': '203.0.113.7' }),
    );
    assert.equal(pages.filter(({ status }) => status === 400).length, 10);
    assert.equal(pages.filter(({ status }) => status === 429).length, 20);
  });
});
