import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { type Route, route } from '../src/index.ts';

const common = { summary: 'Things' };
const responses = { 200: z.object({ size: z.int() }) };
const handler = async () => ({ status: 200 as const, body: { size: 1 } });

// Each @ts-expect-error is the test: `npm run check` fails when the line below it compiles.
const mistakes: Route[] = [
  // @ts-expect-error neither a scope nor `public`
  route('get', '/things', { ...common, responses, handler }),
  // @ts-expect-error `public: false` is no scope
  route('get', '/things', { ...common, public: false, responses, handler }),
  // @ts-expect-error a scope and `public` contradict each other
  route('get', '/things', { ...common, scope: 'things:read', public: true, responses, handler }),
  // @ts-expect-error a role without a scope
  route('get', '/things', { ...common, public: true, role: 'admin', responses, handler }),
  route('get', '/things', {
    ...common,
    public: true,
    responses,
    // @ts-expect-error an undeclared status
    handler: async () => ({ status: 201, body: { size: 1 } }),
  }),
  route('get', '/things', {
    ...common,
    public: true,
    responses,
    // @ts-expect-error a body that is not as declared
    handler: async () => ({ status: 200, body: { size: 'large' } }),
  }),
  route('get', '/things', {
    ...common,
    public: true,
    responses,
    versioned: true,
    // @ts-expect-error a version that is to be the ETag is missing
    handler,
  }),
  route('get', '/things', {
    ...common,
    public: true,
    responses,
    // @ts-expect-error a public route has no caller
    handler: async ({ caller }) => ({ status: 200, body: { size: caller.subject.length } }),
  }),
  route('get', '/things/{id}', {
    ...common,
    public: true,
    responses,
    // @ts-expect-error a parameter that the path does not have
    handler: async ({ params }) => ({ status: 200, body: { size: params.size } }),
  }),
];

test('a route that is declared wrongly does not compile', () => {
  assert.equal(mistakes.length, 9);
});
