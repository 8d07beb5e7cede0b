import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { callerOf } from '@gatehouse/auth-middleware';
import { createProofKey, listenApp } from '@gatehouse/test-kit';
import express from 'express';
import { SignJWT } from 'jose';
import { createLogger, createMetrics, guardVariables, openGuard, problemHandler } from '../src/index.ts';

// As Auth0 writes it.
const issuer = 'https://tenant.example/';
const audience = 'urn:gatehouse:api';

/** A provider that is not ours, with a key, behind a service that is told of it by variables alone. */
async function startService(t: TestContext, variables: Record<string, string>, bits = 2048) {
  const published: Record<string, unknown>[] = [];
  const provider = await listenApp((_req, res) => void res.end(JSON.stringify({ keys: published })));
  t.after(provider.close);
  const publish = (alg: string, type: 'rsa' | 'ec', members = {}) => {
    const { publicKey, privateKey } =
      type === 'ec'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: bits });
    const kid = randomUUID();
    published.push({ ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig', ...members });
    return { kid, privateKey };
  };

  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  const logger = createLogger({ level: 'silent' });
  const open = () => {
    const read = Object.entries(guardVariables).map(([name, schema]) => [
      name,
      schema.parse(name === 'JWKS_URI' ? provider.url : variables[name]),
    ]);
    const config = { ISSUER: 'http://localhost:8080', ...Object.fromEntries(read) };
    return openGuard(
      { name: 'test', config, audiences: [audience], logger, metrics: createMetrics('test') },
      opened,
    );
  };
  return {
    publish,
    async listen() {
      const guard = open();
      const app = express().use(guard.authenticate);
      app.get('/', (req, res) => void res.json({ ...callerOf(req), scopes: [...callerOf(req).scopes] }));
      app.use(problemHandler(logger));
      const { url, close } = await listenApp(app);
      t.after(close);
      return async (token: string, proof?: string) => {
        const headers = proof
          ? { authorization: `DPoP ${token}`, dpop: proof }
          : { authorization: `Bearer ${token}` };
        const response = await fetch(url, { headers });
        return { status: response.status, body: (await response.json()) as Record<string, unknown> };
      };
    },
  };
}

function sign(key: { kid: string; privateKey: KeyObject }, alg: string, claims = {}): Promise<string> {
  return new SignJWT({ client_id: 'shop', scope: 'items:read', ...claims })
    .setProtectedHeader({ alg, typ: 'at+jwt', kid: key.kid })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject('auth0|5f7c8ec7c33c6c004bbafe82')
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(key.privateKey);
}

for (const alg of ['RS256', 'PS256', 'ES256'] as const) {
  test(`tokens of another provider, signed with ${alg}, are taken by their issuer, without a denylist`, async (t) => {
    const service = await startService(t, { TOKEN_ISSUER: issuer, TOKEN_SIGNING_ALG: alg, DENYLIST: 'none' });
    const key = service.publish(alg, alg === 'ES256' ? 'ec' : 'rsa');
    const get = await service.listen();
    const { status, body } = await get(await sign(key, alg));
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual([body.subject, body.scopes], ['auth0|5f7c8ec7c33c6c004bbafe82', ['items:read']]);
  });
}

test('J34 proofs beside their tokens are for the URL that clients call, which is not the provider’s', async (t) => {
  const service = await startService(t, { TOKEN_ISSUER: issuer, DENYLIST: 'none' });
  const key = service.publish('ES256', 'ec');
  const get = await service.listen();
  const holder = await createProofKey();
  const token = await sign(key, 'ES256', { cnf: { jkt: holder.thumbprint } });
  const statusFor = async (url: string) => (await get(token, await holder.prove({ url, token }))).status;
  assert.equal(await statusFor('http://localhost:8080/'), 200);
  assert.equal(await statusFor(issuer), 401);
});

test('J04 no other algorithm is taken than the one that is set, whatever else is published', async (t) => {
  const service = await startService(t, {
    TOKEN_ISSUER: issuer,
    TOKEN_SIGNING_ALG: 'RS256',
    DENYLIST: 'none',
  });
  const [good, other] = [service.publish('RS256', 'rsa'), service.publish('ES256', 'ec')];
  const get = await service.listen();
  assert.equal((await get(await sign(good, 'RS256'))).status, 200);
  assert.equal((await get(await sign(other, 'ES256'))).status, 401);
  assert.equal((await get(await sign(good, 'PS256'))).status, 401);
});

test('tokens of ISSUER itself are nobody’s where another provider issues them', async (t) => {
  const service = await startService(t, { TOKEN_ISSUER: `${issuer}other`, DENYLIST: 'none' });
  const key = service.publish('ES256', 'ec');
  const get = await service.listen();
  assert.equal((await get(await sign(key, 'ES256'))).status, 401);
});

test('J27 an RSA key of less than 2048 bits verifies nothing', async (t) => {
  const variables = { TOKEN_ISSUER: issuer, TOKEN_SIGNING_ALG: 'RS256', DENYLIST: 'none' };
  const service = await startService(t, variables, 1024);
  const key = service.publish('RS256', 'rsa');
  const get = await service.listen();
  // jose itself signs with no such key.
  const token = await sign(
    { ...key, privateKey: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey },
    'RS256',
  );
  assert.equal((await get(token)).status, 503);
});

test('J27 an RSA key whose exponent lets anybody sign verifies nothing', async (t) => {
  const variables = { TOKEN_ISSUER: issuer, TOKEN_SIGNING_ALG: 'RS256', DENYLIST: 'none' };
  const service = await startService(t, variables);
  const [good, bad] = [service.publish('RS256', 'rsa'), service.publish('RS256', 'rsa', { e: 'AQ' })];
  const get = await service.listen();
  assert.equal((await get(await sign(good, 'RS256'))).status, 200);
  // Raised to the power of one, what is signed is its own signature (RFC 8017, 9.2).
  const input = (await sign(bad, 'RS256')).replace(/\.[^.]+$/, '');
  const digest = createHash('sha256').update(input).digest();
  const info = Buffer.concat([Buffer.from('3031300d060960864801650304020105000420', 'hex'), digest]);
  const padding = Buffer.alloc(2048 / 8 - info.length - 3, 0xff);
  const forged = Buffer.concat([Buffer.from([0, 1]), padding, Buffer.from([0]), info]);
  assert.equal((await get(`${input}.${forged.toString('base64url')}`)).status, 401);
});

test('without a denylist somebody has to say so', async (t) => {
  const service = await startService(t, { TOKEN_ISSUER: issuer });
  await assert.rejects(service.listen(), /REDIS_URL/);
});
