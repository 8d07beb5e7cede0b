import { createTestBench, type TestBench, type TestedService } from '@gatehouse/service-kit/testing';
import { listenApp } from '@gatehouse/test-kit';
import express, { type RequestHandler } from 'express';
import { users } from '../src/app.ts';

export interface UsersBench extends TestBench {
  /** With an authorization server that knows no account. */
  users: TestedService;
  /** Runs another users service whose token endpoint or accounts API is the one given. */
  startUsersWith(instead: { token?: RequestHandler; accounts?: RequestHandler }): Promise<TestedService>;
}

/** Users with a token endpoint that knows nothing but the exchange, and signs with the keys of the bench. */
export async function startUsers(): Promise<UsersBench> {
  const bench = await createTestBench();
  const closing: (() => Promise<void>)[] = [];
  const serve = async (handler: RequestHandler): Promise<string> => {
    const server = await listenApp(express().use(express.urlencoded(), express.json()).use(handler));
    closing.push(server.close);
    return server.url;
  };

  const exchange: RequestHandler = async (req, res) => {
    const { subject_token: subjectToken, audience, scope } = req.body;
    const [, basic = ''] = /^Basic (.+)$/.exec(req.headers.authorization ?? '') ?? [];
    // RFC 6749, 2.3.1: both halves are form-encoded.
    // Whoever authenticates is the service, not the caller of its caller.
    if (req.headers['x-forwarded-for']) return void res.status(400).json({ error: 'invalid_request' });
    const isUs = decodeURIComponent(atob(basic)) === 'users-service:users-secret-for-tests';
    if (!isUs) return void res.status(401).json({ error: 'invalid_client' });
    if (audience !== 'urn:gatehouse:accounts') return void res.status(400).json({ error: 'invalid_target' });
    const { sub } = JSON.parse(Buffer.from(subjectToken.split('.')[1], 'base64url').toString());
    const claims = { sub, aud: audience, scope, client_id: 'users-service', act: { sub: 'users-service' } };
    const token = await bench.issuer.sign(claims);
    res.json({ access_token: token, token_type: 'Bearer', expires_in: 300 });
  };
  const unknown: RequestHandler = (_req, res) => void res.status(404).json({ status: 404 });

  const startUsersWith: UsersBench['startUsersWith'] = async ({ token = exchange, accounts = unknown }) =>
    bench.start(users, {
      TOKEN_URL: `${await serve(token)}/token`,
      ACCOUNTS_URL: await serve(accounts),
      CLIENT_SECRET: 'users-secret-for-tests',
    });

  return {
    ...bench,
    users: await startUsersWith({}),
    startUsersWith,
    async close() {
      await Promise.all(closing.map((close) => close()));
      await bench.close();
    },
  };
}
