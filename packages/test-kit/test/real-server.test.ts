import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { realServer, startPostgres, startRedis } from '../src/index.ts';

const own = { own: true };

test(
  'a Redis answers, freezes, goes on, dies and comes back on the same port',
  realServer('redis', own),
  async (t) => {
    const redis = await startRedis(t, own);
    const port = Number(new URL(redis.url).port);
    const ping = () => redisPing(port);
    assert.equal(await ping(), '+PONG\r\n');
    redis.pause();
    assert.equal(await ping(), 'nothing');
    redis.resume();
    assert.equal(await ping(), '+PONG\r\n');
    await redis.kill();
    assert.equal(await ping(), 'refused');
    await redis.restart();
    assert.equal(await ping(), '+PONG\r\n');
    await redis.stop();
    assert.equal(await ping(), 'refused');
  },
);

test(
  'a Postgres keeps its rows over kill and restart, and freezes with its children',
  realServer('postgres', own),
  async (t) => {
    const postgres = await startPostgres(t, own);
    await query(postgres.url, 'create table kept (n int)');
    await query(postgres.url, 'insert into kept values (7)');
    await postgres.kill();
    await assert.rejects(query(postgres.url, 'select 1'));
    await postgres.restart();
    assert.deepEqual(await query(postgres.url, 'select n from kept'), [{ n: 7 }]);

    const client = new Client({ connectionString: postgres.url });
    await client.connect();
    postgres.pause();
    const answer = client.query('select 1 as one');
    assert.equal(await Promise.race([answer, later(300)]), 'nothing');
    postgres.resume();
    assert.deepEqual((await answer).rows, [{ one: 1 }]);
    await client.end();
  },
);

test(
  'a process that does nothing else waits for the end of its server',
  realServer('redis', own),
  async () => {
    const script = `
    import { startRedis } from '@gatehouse/test-kit';
    const redis = await startRedis(undefined, { own: true });
    await redis.stop();
    console.log('ended');`;
    const options = { cwd: import.meta.dirname };
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', script],
      options,
    );
    assert.equal(stdout, 'ended\n');
  },
);

test('a given Postgres lends each test a database of its own', realServer('postgres', own), async (t) => {
  const { url } = await startPostgres(t, own);
  keepEnvironment(t, ['DATABASE_URL']);
  process.env.DATABASE_URL = url;
  const [one, two] = [await startPostgres(), await startPostgres()];
  await query(one.url, 'create table mine (n int)');
  await assert.rejects(query(two.url, 'select * from mine'), /does not exist/);
  await one.stop();
  await assert.rejects(query(one.url, 'select 1'), /does not exist/);
  await two.stop();
  assert.throws(() => two.pause(), /given server/);
});

test('a missing server skips a test with its reason, and fails it in CI', async (t) => {
  keepEnvironment(t, ['PATH', 'CI', 'REDIS_URL']);
  process.env.PATH = '/nowhere';
  delete process.env.CI;
  delete process.env.REDIS_URL;
  assert.deepEqual(realServer('redis'), { skip: 'redis-server is not installed' });
  process.env.CI = 'true';
  assert.deepEqual(realServer('redis'), { skip: false });
  await assert.rejects(startRedis(), /redis-server is not installed/);
  process.env.REDIS_URL = 'redis://somewhere:6379';
  assert.deepEqual(realServer('redis'), { skip: false });
  assert.equal((await startRedis()).url, 'redis://somewhere:6379');
});

function redisPing(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
  const answer = new Promise<string>((resolve) => {
    socket.once('data', (chunk) => resolve(String(chunk)));
    socket.once('error', () => resolve('refused'));
  });
  return Promise.race([answer, later(300)]).finally(() => socket.destroy());
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

function later(ms: number): Promise<string> {
  return new Promise((resolve) => setTimeout(resolve, ms, 'nothing'));
}

function keepEnvironment(t: TestContext, names: string[]): void {
  const before = names.map((name) => [name, process.env[name]] as const);
  t.after(() => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
}
