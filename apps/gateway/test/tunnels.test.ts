import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { rawRequest } from '@gatehouse/test-kit';
import { publicHost, startTestGateway, until } from './start-gateway.ts';

test('H09 CONNECT is refused and its socket closed', async (t) => {
  const gateway = await startTestGateway(t);
  for (const target of ['evil:443', publicHost, '/items']) {
    const { status, closed } = await rawRequest(
      gateway.port,
      `CONNECT ${target} HTTP/1.1\r\nHost: ${publicHost}\r\n\r\n`,
    );
    assert.ok([400, 405].includes(status), `${status} ${target}`);
    assert.equal(closed, true);
  }
  assert.deepEqual(gateway.received, []);
});

test('H24 CONNECT behind other requests is not answered in their place, and ends all of them', async (t) => {
  const gateway = await startTestGateway(t, {
    answer: () => {},
    env: { MAX_IN_FLIGHT: '10', MAX_WAIT_MS: '1' },
  });
  const waiting = `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\n\r\n`.repeat(3);
  for (let round = 1; round <= 5; round += 1) {
    const { text, closed } = await rawRequest(
      gateway.port,
      `${waiting}CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n`,
    );
    assert.deepEqual([text, closed], ['', true]);
    // Each is logged as left, and no longer counts against what may be in flight.
    const left = () => gateway.log.filter((line) => line.includes('"status":499')).length;
    await until(() => left() === 3 * round, 1_000);
  }
});

test('H22 upgrades are 426 and their sockets closed, on any path, before and after a good request', async (t) => {
  const gateway = await startTestGateway(t);
  const authorization = await gateway.bearer();
  const upgrades = [
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__',
    'Connection: upgrade\r\nUpgrade: anything',
  ];
  for (const round of ['before', 'after']) {
    for (const path of ['/items', '/token', '/health/live', '/nowhere']) {
      for (const upgrade of upgrades) {
        for (const token of ['', `Authorization: ${authorization}\r\n`]) {
          const { status, closed } = await rawRequest(
            gateway.port,
            `GET ${path} HTTP/1.1\r\nHost: ${publicHost}\r\n${token}${upgrade}\r\n\r\n`,
            { timeoutMs: 1_000 },
          );
          assert.deepEqual([status, closed], [426, true], `${round} ${path} ${upgrade}`);
        }
      }
    }
    assert.equal((await gateway.send('/items', { headers: { authorization } })).status, 200);
    assert.equal(gateway.received.splice(0).length, 1, 'only the good request went on');
  }
});

test('H26 who is refused and does not go keeps his place for two seconds, and no process from its end', async (t) => {
  const gateway = await startTestGateway(t);
  const refused = ['CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 'GET / HTTP/1.1\r\nno header\r\n\r\n'];
  const answers = refused.map(async (bytes) => {
    // It never says that it has nothing more to say.
    const socket = connect({ port: gateway.port, host: '127.0.0.1', allowHalfOpen: true });
    t.after(() => socket.destroy());
    socket.on('error', () => {}).write(bytes);
    let text = '';
    for await (const chunk of socket) text += chunk;
    return text;
  });
  assert.deepEqual(
    (await Promise.all(answers)).map((text) => text.slice(0, 12)),
    ['HTTP/1.1 405', 'HTTP/1.1 400'],
  );
  const from = performance.now();
  await gateway.stop();
  assert.ok(performance.now() - from < 7_000, 'well before what is left would be cut');
});
