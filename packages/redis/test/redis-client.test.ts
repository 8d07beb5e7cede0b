import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createRedisClient, isRedisUrl, requestDeadlines } from '../src/index.ts';

function open(t: TestContext, url: string, options = {}) {
  const redis = createRedisClient(url, { ...requestDeadlines, ...options });
  t.after(() => redis.disconnect());
  return redis;
}

test('a URL of sentinels means what it says, and they have the deadlines of Redis', (t) => {
  const url = 'redis+sentinel://a%2Fb:p%40ss@one:26380,two,[::1]:26381/main';
  const { options } = open(t, url, { lazyConnect: true });
  assert.deepEqual(options.sentinels, [
    { host: 'one', port: 26_380 },
    { host: 'two', port: 26_379 },
    { host: '::1', port: 26_381 },
  ]);
  const { name, username, password, failoverDetector } = options;
  assert.deepEqual([name, username, password, failoverDetector], ['main', 'a/b', 'p@ss', true]);
  const { commandTimeout, retryStrategy } = requestDeadlines;
  assert.equal(options.sentinelCommandTimeout, commandTimeout);
  assert.equal(options.sentinelRetryStrategy, retryStrategy);
});

test('what is no text once it is decoded is no user and no password of a URL', () => {
  for (const [credentials, isGood] of Object.entries({ 'a:b': true, '%zz:b': false, 'a:%zz': false }))
    assert.equal(isRedisUrl(`redis+sentinel://${credentials}@one/main`), isGood, credentials);
});

test('a command that cannot be sent now fails now', async (t) => {
  await assert.rejects(open(t, 'redis://127.0.0.1:1').ping(), /enableOfflineQueue/);
});

/** A server that answers each command by its text, on a free port; `stop()` closes its connections too. */
async function startFake(t: TestContext, answer: (command: string, socket: Socket) => unknown) {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('data', (command) => answer(String(command), socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  t.after(stop);
  return { port: (server.address() as { port: number }).port, stop };
}

test('R27 a failover that is told while a client asks where the primary is does not end the client', async (t) => {
  const pong = (_command: string, socket: Socket) => socket.write('+PONG\r\n');
  const first = await startFake(t, pong);
  const second = await startFake(t, pong);
  const addressOf = ({ port }: { port: number }) =>
    `*2\r\n$9\r\n127.0.0.1\r\n$${`${port}`.length}\r\n${port}\r\n`;
  let primary = first;
  let subscriber: Socket | undefined;
  let isTold = false;
  const subscribed = Promise.withResolvers<void>();
  const sentinel = await startFake(t, (command, socket) => {
    if (command.includes('SETINFO'))
      return socket.write('+OK\r\n'.repeat(command.split('SETINFO').length - 1));
    if (command.includes('get-master-addr-by-name')) {
      if (primary === first) return socket.write(addressOf(first));
      if (!isTold) subscriber?.write('*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$1\r\n-\r\n');
      isTold = true;
      return delay(100).then(() => socket.write(addressOf(second)));
    }
    if (!command.includes('+switch-master')) return socket.write('*0\r\n');
    socket.write('*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n');
    subscriber = socket;
    subscribed.resolve();
  });
  const redis = open(t, `redis+sentinel://127.0.0.1:${sentinel.port}/main`);
  await subscribed.promise;
  assert.equal(await redis.ping(), 'PONG');

  primary = second;
  first.stop();
  while ((await redis.ping().catch(() => {})) !== 'PONG') await delay(20);
  assert.ok(isTold);

  redis.disconnect();
  await delay(500);
  assert.equal(redis.status, 'end');
});
