import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rawRequest } from '@gatehouse/test-kit';
import { publicHost, startTestGateway, type TestGateway } from './start-gateway.ts';

async function statusOf(
  gateway: TestGateway,
  line: string,
  headers = `Host: ${publicHost}\r\n`,
): Promise<number> {
  const authorization = `Authorization: ${await gateway.bearer()}\r\n`;
  const { status } = await rawRequest(
    gateway.port,
    `${line} HTTP/1.1\r\n${headers}${authorization}Connection: close\r\n\r\n`,
  );
  return status;
}

const traps = [
  '/items/../internal',
  '/items/..',
  '/items/.',
  '/./items',
  '/../items',
  '/items/%2e%2e/internal',
  '/items/.%2e/internal',
  '/items/%2E%2E%2Finternal',
  '/items/..%2finternal',
  '/items/..%5cinternal',
  '/items/%252e%252e/internal',
  '/items/%25',
  '/items\\..\\internal',
  '/items/a\\b',
  '/items;x=1',
  '/items/x;.css',
  '/items/%3bx',
  '/items/%00',
  '/items/%0d%0aX-Evil:1',
  '/items/%1f',
  '/items/%7f',
  '/items/%c0%ae%c0%ae/internal',
  '/items/%ff',
  '/items/%',
  '/items/%4',
  '/items/%zz',
  '/items/\u00e9',
  '/items/<x>',
  '/items/"x"',
  '/items/{x}',
  '/items#x',
  '/items?x#y',
];

test('H10 encoded and odd paths end at the gateway with 400, token or not', async (t) => {
  const gateway = await startTestGateway(t);
  for (const target of traps) assert.equal(await statusOf(gateway, `GET ${target}`), 400, target);
  assert.deepEqual(gateway.received, []);
});

test('H10 the same traps in front of the authorization server', async (t) => {
  const gateway = await startTestGateway(t);
  for (const target of traps) {
    const line = `GET ${target.replace('/items', '/interaction')}`;
    assert.equal(await statusOf(gateway, line), 400, line);
  }
  assert.deepEqual(gateway.received, []);
});

test('H11 empty segments are 400', async (t) => {
  const gateway = await startTestGateway(t);
  for (const target of ['//items', '///items', '/items//1', '/items//', '//evil/items']) {
    assert.equal(await statusOf(gateway, `GET ${target}`), 400, target);
  }
  assert.deepEqual(gateway.received, []);
});

test('H08 H09 absolute, authority and asterisk forms are 400', async (t) => {
  const gateway = await startTestGateway(t);
  const lines = [
    'GET http://evil/items',
    `GET http://${publicHost}/items`,
    'GET https://evil/items',
    'OPTIONS *',
  ];
  for (const line of lines) assert.equal(await statusOf(gateway, line), 400, line);
  for (const line of ['GET items', 'GET evil:80', 'GET ?x']) {
    assert.equal(await statusOf(gateway, line), 400, line);
  }
  assert.deepEqual(gateway.received, []);
});

test('H15 a host that is not ours, two hosts or none are 400', async (t) => {
  const gateway = await startTestGateway(t);
  const wrong = {
    evil: 'Host: evil\r\n',
    'another port': 'Host: localhost:8081\r\n',
    'no port': 'Host: localhost\r\n',
    userinfo: `Host: evil@${publicHost}\r\n`,
    suffix: `Host: ${publicHost}.evil\r\n`,
    'ours, then evil': `Host: ${publicHost}\r\nHost: evil\r\n`,
    'ours twice': `Host: ${publicHost}\r\nhost: ${publicHost}\r\n`,
    list: `Host: ${publicHost}, evil\r\n`,
    none: '',
    empty: 'Host:\r\n',
  };
  for (const [name, headers] of Object.entries(wrong)) {
    assert.equal(await statusOf(gateway, 'GET /items', headers), 400, name);
    assert.equal(await statusOf(gateway, 'GET /authorize', headers), 400, name);
  }
  assert.deepEqual(gateway.received, []);
  assert.equal(await statusOf(gateway, 'GET /items', 'Host: LOCALHOST:8080\r\n'), 200);
  const told = await gateway.send('/items', { headers: { host: 'evil' } });
  assert.equal(told.json.detail, `This host is not served here; use ${publicHost}`);
});

test('T04 two credentials are 400 in front of the authorization server too, whichever is good', async (t) => {
  const gateway = await startTestGateway(t);
  const second = `Host: ${publicHost}\r\nauthorization: Basic ZGVtbzpzZWNyZXQ=\r\n`;
  for (const line of ['GET /userinfo', 'POST /token'])
    assert.equal(await statusOf(gateway, line, second), 400);
  assert.deepEqual(gateway.received, []);
});

test('H14 methods that no service knows are 501 without an upstream request', async (t) => {
  const gateway = await startTestGateway(t);
  for (const method of ['TRACE', 'PROPFIND', 'LOCK', 'PURGE', 'QUERY']) {
    assert.equal(await statusOf(gateway, `${method} /items`), 501, method);
  }
  for (const method of ['FOO', 'TRACK']) {
    assert.ok([400, 405, 501].includes(await statusOf(gateway, `${method} /items`)), method);
  }
  assert.deepEqual(gateway.received, []);
});

test('H35 line breaks encoded in a query stay encoded and make one line in the log', async (t) => {
  const gateway = await startTestGateway(t);
  assert.equal(await statusOf(gateway, 'GET /items?q=%0d%0aX-Evil:%201'), 200);
  assert.equal(gateway.received[0]?.url, '/items?q=%0d%0aX-Evil:%201');
  assert.equal(gateway.received[0]?.headers['x-evil'], undefined);
  for (const line of gateway.log) assert.equal(line.indexOf('\n'), line.length - 1);
});

test('a refusal closes the connection, so nothing behind it on the socket is read', async (t) => {
  const gateway = await startTestGateway(t);
  const evil = `GET /items/..%2f HTTP/1.1\r\nHost: ${publicHost}\r\n\r\n`;
  const next = `GET /token HTTP/1.1\r\nHost: ${publicHost}\r\n\r\n`;
  const { closed, text } = await rawRequest(gateway.port, evil + next);
  assert.equal(closed, true);
  assert.equal(text.match(/HTTP\/1\.1 /g)?.length, 1);
  assert.match(text, /application\/problem\+json/);
  assert.deepEqual(gateway.received, []);
});
