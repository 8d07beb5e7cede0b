import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listenApp } from '@gatehouse/test-kit';
import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { compose } from '../src/compose.ts';

/** What an app answers whose one layer these are, and whose last two tell what came of it. */
async function answerOf(t: { after: (done: () => unknown) => void }, ...handlers: RequestHandler[]) {
  const app = express()
    .use(compose(...handlers))
    .use((_req: Request, res: Response) => void res.send('passed'))
    .use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
      res.send(`error: ${(error as Error).message}`);
    });
  const listening = await listenApp(app);
  t.after(listening.close);
  return (await fetch(listening.url)).text();
}

const pass: RequestHandler = (_req, _res, next) => next();
const passLater: RequestHandler = (_req, _res, next) => void setImmediate(next);
const fail = () => {
  throw new Error('thrown');
};

test('handlers take their turns, at once and later, and then whoever comes after them', async (t) => {
  const order: number[] = [];
  const note =
    (place: number): RequestHandler =>
    (_req, _res, next) => {
      order.push(place);
      next();
    };
  assert.equal(await answerOf(t, note(1), passLater, note(2), note(3)), 'passed');
  assert.deepEqual(order, [1, 2, 3]);
});

test('one that answers is the last', async (t) => {
  assert.equal(await answerOf(t, pass, (_req, res) => void res.send('answered'), fail), 'answered');
});

test('what one throws, rejects with or hands on is the error, whenever that is, and no other takes its turn', async (t) => {
  const never = () => assert.fail('must not be asked');
  const nothing: unknown = undefined;
  for (const first of [pass, passLater, ((_req, _res, next) => next(null)) satisfies RequestHandler]) {
    assert.equal(await answerOf(t, first, fail, never), 'error: thrown');
    assert.equal(await answerOf(t, first, async () => fail(), never), 'error: thrown');
    const handOn: RequestHandler = (_req, _res, next) => next(new Error('handed on'));
    assert.equal(await answerOf(t, first, handOn, never), 'error: handed on');
    const silent = () => {
      throw nothing;
    };
    assert.match(await answerOf(t, first, silent, never), /^error: a handler failed/);
    assert.match(await answerOf(t, first, async () => silent(), never), /^error: a handler failed/);
  }
});
