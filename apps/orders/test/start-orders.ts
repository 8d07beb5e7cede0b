import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { items } from '@gatehouse/items';
import {
  createTestBench,
  type TestAnswer,
  type TestBench,
  type TestedService,
} from '@gatehouse/service-kit/testing';
import { listenApp } from '@gatehouse/test-kit';
import express, { type RequestHandler } from 'express';
import { orders } from '../src/app.ts';

export interface OrdersBench extends TestBench {
  orders: TestedService;
  items: TestedService;
  /** What orders needs to get tokens. */
  tokens: { TOKEN_URL: string; CLIENT_SECRET: string };
  /** Runs another orders service whose token endpoint, items or database is the one given. */
  startOrdersWith(instead: {
    token?: RequestHandler;
    items?: RequestHandler;
    ITEMS_URL?: string;
    DATABASE_URL?: string;
  }): Promise<TestedService>;
}

/** Orders and the real items on one bench, with a token endpoint that gives orders the two tokens that it may have. */
export async function startOrders(): Promise<OrdersBench> {
  const bench = await createTestBench();
  const itemsService = await bench.start(items);
  const closing: (() => Promise<void>)[] = [];
  const serve = async (handler: RequestHandler): Promise<string> => {
    const server = await listenApp(express().use(express.urlencoded()).use(handler));
    closing.push(server.close);
    return server.url;
  };

  const endpoint: RequestHandler = async (req, res) => {
    const { subject_token: subjectToken, ...rest } = req.body;
    const [, basic = ''] = /^Basic (.+)$/.exec(req.headers.authorization ?? '') ?? [];
    // RFC 6749, 2.3.1: both halves are form-encoded.
    const [id, secret] = atob(basic)
      .split(':')
      .map((half) => new URLSearchParams(`v=${half}`).get('v'));
    if (id !== 'orders-service' || secret !== 'a:b% c')
      return void res.status(401).json({ error: 'invalid_client' });
    const isOwn = isDeepStrictEqual({ ...rest }, inOwnName);
    if (!isOwn && !isDeepStrictEqual({ ...rest }, onBehalf))
      return void res.status(400).json({ error: 'invalid_target' });
    const payload = subjectToken && Buffer.from(subjectToken.split('.')[1], 'base64url').toString();
    const claims = isOwn ? ownClaims : exchangedClaims(JSON.parse(payload).sub);
    res.json({ access_token: await bench.issuer.sign(claims), token_type: 'Bearer', expires_in: 300 });
  };
  const tokens = { TOKEN_URL: `${await serve(endpoint)}/token`, CLIENT_SECRET: 'a:b% c' };

  const startOrdersWith: OrdersBench['startOrdersWith'] = async ({ token, items: itemsHandler, ...env }) =>
    bench.start(orders, {
      ITEMS_URL: itemsHandler ? await serve(itemsHandler) : itemsService.url,
      ...tokens,
      ...(token && { TOKEN_URL: `${await serve(token)}/token` }),
      ...env,
    });

  return {
    ...bench,
    items: itemsService,
    tokens,
    orders: await startOrdersWith({}),
    startOrdersWith,
    async close() {
      await Promise.all(closing.map((close) => close()));
      await bench.close();
    },
  };
}

const inOwnName = {
  grant_type: 'client_credentials',
  scope: 'items:reserve',
  resource: 'urn:gatehouse:items',
};
const onBehalf = {
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  scope: 'items:reserve',
  subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  audience: 'urn:gatehouse:items',
};

/** What the authorization server puts into the token that orders may use at items in its own name. */
export const ownClaims = {
  sub: 'orders-service',
  aud: 'urn:gatehouse:items',
  scope: 'items:reserve',
  client_id: 'orders-service',
  gid: undefined,
};

/** What the authorization server puts into a token that orders may use at items for a user. */
export function exchangedClaims(sub: string): Record<string, unknown> {
  return {
    sub,
    aud: 'urn:gatehouse:items',
    scope: 'items:reserve',
    client_id: 'orders-service',
    act: { sub: 'orders-service' },
  };
}

/** As a client does that is told to come again: a slow machine is no fault. */
export async function patiently(
  send: () => Promise<TestAnswer>,
  isOver = ({ status }: TestAnswer) => status !== 503,
): Promise<TestAnswer> {
  for (let tries = 0; ; tries++) {
    const answer = await send();
    if (isOver(answer) || tries === 50) return answer;
    assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
    // Less and less often, until even a slow machine gets through with them.
    await delay(Math.random() * Math.min(1_000 * 2 ** tries, 30_000));
  }
}
