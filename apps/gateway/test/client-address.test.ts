import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import { clientAddressOf, clientNetworkOf, noteClientAddress } from '../src/client-address.ts';
import { GatewayConfigSchema } from '../src/start.ts';
import { publicHost, startTestGateway, until } from './start-gateway.ts';

test('H16 H17 without trusted proxies the address is that of the connection: upstream, log and limit', async (t) => {
  const gateway = await startTestGateway(t, { env: { RATE_LIMIT_ADDRESS: '5' } });
  const statuses: number[] = [];
  for (let i = 1; i <= 7; i += 1) {
    const forged = `198.51.100.${i}`;
    const names = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'true-client-ip', 'x-client-ip'];
    const headers = Object.fromEntries(
      names.map((name) => [name, name === 'forwarded' ? `for=${forged}` : forged]),
    );
    statuses.push((await gateway.send('/token', { method: 'POST', headers, body: 'a=b' })).status);
  }
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429, 429]);
  assert.deepEqual(
    [...new Set(gateway.received.map(({ headers }) => headers['x-forwarded-for']))],
    ['127.0.0.1'],
  );
  const lines = () => gateway.log.filter((line) => line.includes('"route":"/token"'));
  await until(() => lines().length === 5, 1_000);
  for (const line of lines()) assert.equal(JSON.parse(line).address, '127.0.0.1');
});

test('H16 behind trusted proxies it is the right-most address that is no proxy, and what is malformed is not believed', async (t) => {
  const gateway = await startTestGateway(t, { env: { TRUSTED_PROXIES: '127.0.0.1, 10.0.0.0/8,fd00::/8' } });
  const cases: [told: string | string[] | undefined, address: string][] = [
    ['203.0.113.7', '203.0.113.7'],
    ['198.51.100.1, 203.0.113.7', '203.0.113.7'],
    ['203.0.113.7, 10.1.2.3', '203.0.113.7'],
    ['evil, 203.0.113.7,10.1.2.3 , ::ffff:10.0.0.1, fd00::5', '203.0.113.7'],
    [['198.51.100.1', '203.0.113.7'], '203.0.113.7'],
    ['2001:db8::7', '2001:db8::7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['10.9.9.9', '10.9.9.9'],
    // As balancers write it that add the port.
    ['203.0.113.7:50080, 10.1.2.3:443', '203.0.113.7'],
    ['[2001:db8::7]:443', '2001:db8::7'],
    ['[2001:db8::7]', '2001:db8::7'],
    // What a proxy that we trust wrote is no address: then it is the one that we know.
    [undefined, '127.0.0.1'],
    ['', '127.0.0.1'],
    [',', '127.0.0.1'],
    ['unknown', '127.0.0.1'],
    ['203.0.113.7:http', '127.0.0.1'],
    ['[2001:db8::7', '127.0.0.1'],
    ['2001:db8::7]:443', '127.0.0.1'],
    ['203.0.113.7, _hidden, 10.1.2.3', '10.1.2.3'],
    ['203.0.113.300', '127.0.0.1'],
    [`${'1,'.repeat(5_000)}x`, '127.0.0.1'],
  ];
  for (const [told, address] of cases) {
    const headers = told === undefined ? {} : { 'x-forwarded-for': told };
    assert.equal((await gateway.send('/token', { headers })).status, 200);
    assert.equal(gateway.received.at(-1)?.headers['x-forwarded-for'], address, String(told).slice(0, 60));
  }
});

test('H17 behind a trusted proxy each client has a limit of its own, whatever stands to the left of it', async (t) => {
  const gateway = await startTestGateway(t, {
    env: { TRUSTED_PROXIES: '127.0.0.0/8', RATE_LIMIT_ADDRESS: '2' },
  });
  const from = async (told: string) =>
    (await gateway.send('/token', { headers: { 'x-forwarded-for': told } })).status;
  for (const forged of ['1.1.1.1', '2.2.2.2']) assert.equal(await from(`${forged}, 203.0.113.7`), 200);
  assert.equal(await from('3.3.3.3, 203.0.113.7'), 429);
  assert.equal(await from('203.0.113.8'), 200);
  // One customer has a /64 of IPv6 to himself.
  assert.deepEqual(
    [await from('2001:db8::1'), await from('2001:db8::2'), await from('2001:db8::3')],
    [200, 200, 429],
  );
  assert.equal(await from('2001:db8:0:1::1'), 200);
});

test('H17 clients of a socket that speaks both versions of IP are not one network', () => {
  const req = { socket: { remoteAddress: '::ffff:203.0.113.7' }, headers: {} } as never;
  noteClientAddress(new BlockList())(req);
  assert.equal(clientAddressOf(req), '203.0.113.7');
  assert.equal(clientNetworkOf(req), '203.0.113.7');
});

test('H17 who resets his connection before it is accepted is nobody, and what he asked is not done', async (t) => {
  const gateway = await startTestGateway(t);
  const request = `POST /token HTTP/1.1\r\nHost: ${publicHost}\r\nContent-Length: 3\r\n\r\na=b`;
  const client = `const { connect } = require('node:net');
    const socket = connect(${gateway.port}, '127.0.0.1', () =>
      socket.write(${JSON.stringify(request)}, () => socket.resetAndDestroy()));`;
  // Nothing is accepted meanwhile.
  execFileSync(process.execPath, ['-e', client]);
  assert.equal((await gateway.send('/token')).status, 200);
  assert.deepEqual(
    gateway.received.map(({ method }) => method),
    ['GET'],
  );
  assert.equal(gateway.log.filter((line) => line.includes('"method":"POST"')).length, 0);
});

test('R40 a list of proxies that cannot be read is refused', () => {
  const { TRUSTED_PROXIES } = GatewayConfigSchema.shape;
  for (const wrong of ['10.0.0.0/33', '::/129', '10.0.0', 'localhost', '10.0.0.0/8/8', '10.0.0.1;10.0.0.2'])
    assert.equal(TRUSTED_PROXIES.safeParse(wrong).success, false, wrong);
  for (const right of ['', '10.0.0.1', '10.0.0.0/8, ::1', '0.0.0.0/0'])
    assert.equal(TRUSTED_PROXIES.safeParse(right).success, true, right);
});
