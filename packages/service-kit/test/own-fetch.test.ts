import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { listenApp } from '@gatehouse/test-kit';
import express, { type RequestHandler } from 'express';
import { createOwnFetch, Problem } from '../src/index.ts';

/** Another service, which tells what it was sent, and its token endpoint, which counts tokens. */
async function start({ expiresIn = 300, token, answer }: Options = {}) {
  const asked: Record<string, string>[] = [];
  const app = express().use(express.urlencoded());
  app.post('/token', (req, res, next) => {
    asked.push({ ...req.body, authorization: req.headers.authorization });
    if (token) return token(req, res, next);
    res.json({ access_token: `t${asked.length}`, token_type: 'Bearer', expires_in: expiresIn });
  });
  app.use(answer ?? ((req, res) => void res.json({ path: req.path, with: req.headers.authorization })));
  const server = await listenApp(app);
  after(server.close);
  const client = { TOKEN_URL: `${server.url}/token`, CLIENT_ID: 'me', CLIENT_SECRET: 'secret\nthe old one' };
  const other = { url: server.url, audience: 'urn:other', scope: 'things:do' };
  return { asked, act: createOwnFetch(client, other) };
}
interface Options {
  expiresIn?: number;
  token?: RequestHandler;
  answer?: RequestHandler;
}

const isUnavailable = (error: unknown) => error instanceof Problem && error.status === 503;

test('a call in one’s own name has a token for the other service and the one scope, and no subject', async () => {
  const { asked, act } = await start();
  const send = await act();
  assert.deepEqual(await send('/things/1', { method: 'DELETE' }), {
    status: 200,
    body: { path: '/things/1', with: 'Bearer t1' },
  });
  assert.deepEqual(asked, [
    {
      grant_type: 'client_credentials',
      resource: 'urn:other',
      scope: 'things:do',
      authorization: `Basic ${btoa('me:secret')}`,
    },
  ]);
});

test('a token is used again by all, until shortly before it expires', async () => {
  const lasting = await start();
  await Promise.all([lasting.act(), lasting.act(), lasting.act()]);
  await lasting.act();
  assert.equal(lasting.asked.length, 1);
  const short = await start({ expiresIn: 30 });
  await short.act();
  await short.act();
  assert.equal(short.asked.length, 2);
});

test('a token that is refused is used no more', async () => {
  const { act } = await start({
    answer: (req, res) => void res.status(req.headers.authorization === 'Bearer t1' ? 401 : 204).end(),
  });
  const send = await act();
  await assert.rejects(send('/'), isUnavailable);
  const again = await act();
  assert.equal((await again('/')).status, 204);
});

test('a token endpoint that refuses or fails is a 503, and is asked again next time', async () => {
  const answers = [401, 400, 500];
  const { asked, act } = await start({
    token: (_req, res) => {
      const status = answers.shift();
      const error = { error: 'invalid_client' };
      if (status) res.status(status).json(error);
      else res.json({ access_token: 'good', token_type: 'Bearer' });
    },
  });
  for (let tries = 0; tries < 3; tries++) await assert.rejects(act(), isUnavailable);
  const send = await act();
  assert.equal((await send('/')).status, 200);
  assert.equal(asked.length, 4);
});
