import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { createAuthenticate, createKeySet, createMemoryProofIds } from '@gatehouse/auth-middleware';
import type { DenylistReader } from '@gatehouse/denylist';
import { listenApp } from '@gatehouse/test-kit';
import express from 'express';
import { decodeJwt, generateKeyPair, SignJWT } from 'jose';
import { apiAudience } from '../src/protocol/scopes.ts';
import { issuer, reporting, type TestAuth } from './start-test-auth.ts';

/** A service behind the middleware that every service uses, which has just been asked for a key that nobody has. */
export async function startApi(t: TestContext, auth: TestAuth, denylist: DenylistReader = auth.denylist) {
  const keySet = createKeySet({ jwksUri: `${auth.url}/.well-known/jwks.json`, refreshMs: 1000 });
  t.after(() => keySet.close());
  await keySet.load();
  const authenticate = createAuthenticate({
    issuer,
    audiences: [apiAudience],
    keySet,
    denylist,
    dpop: { origin: issuer, proofIds: createMemoryProofIds() },
  });
  const app = express()
    .disable('x-powered-by')
    .use(authenticate, (_req, res) => void res.json({}));
  const quiet: express.ErrorRequestHandler = (error, _req, res, _next) =>
    void res.status(error.status ?? 500).json({});
  const listening = await listenApp(app.use(quiet));
  t.after(() => listening.close());
  const call = async (token: string) =>
    (await fetch(listening.url, { headers: { authorization: `Bearer ${token}` } })).status;
  // From now on an unknown key is not looked for in between, as when somebody plays with unknown ones.
  const { privateKey } = await generateKeyPair('ES256');
  const unknown = new SignJWT(decodeJwt(await newToken(auth)));
  const header = { alg: 'ES256', typ: 'at+jwt', kid: 'unknown' };
  assert.equal(await call(await unknown.setProtectedHeader(header).sign(privateKey)), 401);
  return { call };
}

/** A token of the reporting client's own. */
export async function newToken(auth: TestAuth): Promise<string> {
  const form = { grant_type: 'client_credentials', scope: 'items:read' };
  const { status, body } = await auth.token(form, reporting);
  assert.equal(status, 200, JSON.stringify(body));
  return body.access_token;
}
