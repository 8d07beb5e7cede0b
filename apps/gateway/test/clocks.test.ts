import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startTestGateway, until } from './start-gateway.ts';

const minutes = 60;
const hours = 3_600;

test('R28 a clock that is seconds off changes nothing, one that is minutes off only what time decides', async (t) => {
  const gateway = await startTestGateway(t);
  const start = Date.now();
  const now = Math.floor(start / 1000);
  t.mock.timers.enable({ apis: ['Date'], now: start });
  /** Tokens that other clocks made, by how long they are good still; each is new to the gateway. */
  const sign = (age: number, left: number) => gateway.bearer({ iat: now - age, exp: now + left });
  const verdict = async (authorization: string) => {
    const { status, json } = await gateway.send('/items', { headers: { authorization } });
    return status === 200 ? status : `${status} ${json.detail}`;
  };
  const remembered = await sign(0, 300);
  assert.equal(await verdict(remembered), 200);
  const revoked = await sign(0, 300);
  const [, payload = ''] = revoked.split('.');
  const { jti } = JSON.parse(Buffer.from(payload, 'base64url').toString());
  await gateway.denylist.append([{ jti, exp: now + 300 }]);

  const invalid = '401 The access token is not valid';
  const expired = '401 The access token has expired';
  const verdicts: Record<string, [off: number, fresh: unknown, old: unknown, ending: unknown]> = {
    'a little behind': [-4, 200, 200, 200],
    'a little ahead': [4, 200, 200, 200],
    'half a minute behind': [-30, invalid, 200, 200],
    'half a minute ahead': [30, 200, 200, expired],
    'five minutes behind': [-5 * minutes, invalid, invalid, invalid],
    'five minutes ahead': [5 * minutes + 6, expired, expired, expired],
    'an hour behind': [-hours, invalid, invalid, invalid],
    'an hour ahead': [hours, expired, expired, expired],
  };
  for (const [name, [off, fresh, old, ending]] of Object.entries(verdicts)) {
    t.mock.timers.setTime(start + off * 1000);
    assert.equal(await verdict(await sign(0, 300)), fresh, name);
    assert.equal(await verdict(remembered), fresh, `${name}, a token that is remembered`);
    assert.equal(await verdict(await sign(60, 240)), old, `${name}, a token that is a minute old`);
    assert.equal(await verdict(await sign(280, 20)), ending, `${name}, a token that is about to end`);
    assert.match(String(await verdict(revoked)), /^401 /, `${name}, a token that is revoked`);
    assert.equal((await gateway.send('/token')).status, 200, name);
  }
  t.mock.timers.setTime(start);
  assert.equal(await verdict(remembered), 200);
  assert.equal(await verdict(revoked), '401 The access token has been revoked');
  assert.match(
    await gateway.metrics.registry.metrics(),
    /auth_verdicts_total{.*verdict="invalid_token"} [1-9]/,
  );
});

test('R29 a clock that jumps back under load starts no storm, and keeps neither a token nor a closed upstream for longer', async (t) => {
  let isWell = false;
  const gateway = await startTestGateway(t, {
    answer: (req, res, upstream) => {
      if (upstream === 'items' && !isWell) req.socket.destroy();
      else res.end();
    },
  });
  const start = Date.now();
  const now = Math.floor(start / 1000);
  t.mock.timers.enable({ apis: ['Date'], now: start });
  const authorization = await gateway.bearer({ iat: now, exp: now + 300 });
  const statusOf = async (path: string, method = 'GET') =>
    (await gateway.send(path, { method, headers: { authorization } })).status;
  assert.equal(await statusOf('/orders'), 200);
  for (let failure = 0; failure < 5; failure += 1) assert.equal(await statusOf('/items', 'POST'), 502);
  assert.equal(await statusOf('/items'), 503);

  const { fetches } = gateway.issuer.jwks;
  t.mock.timers.setTime(start - hours * 1000);
  assert.equal(await statusOf('/orders'), 401, 'by this clock it is made in the future');
  const current = await gateway.bearer({ iat: now - hours, exp: now - hours + 300 });
  const statusNow = async (path: string) =>
    (await gateway.send(path, { headers: { authorization: current } })).status;
  isWell = true;
  const used = process.cpuUsage();
  await delay(1_000);
  const { user, system } = process.cpuUsage(used);
  assert.ok(user + system < 500_000, `${user + system} µs of work while there is nothing to do`);
  let isHealed = false;
  const asking = (async () => {
    while (!isHealed) isHealed = (await statusNow('/items')) === 200;
  })();
  await until(() => isHealed, 5_000);
  await asking;
  for (let round = 0; round < 100; round += 1) assert.equal(await statusNow('/orders'), 200);
  assert.ok(gateway.issuer.jwks.fetches - fetches <= 1);
});
