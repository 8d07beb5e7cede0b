import { type Child, startChild } from './children.ts';
import { haproxyVersion, startHaproxy } from './haproxy.ts';
import type { BenchSetup } from './target.ts';

/** A gateway that is measured, ours or a peer. */
export interface Contender {
  name: string;
  does: string;
  /** Whether it verifies a token again each time that it comes. */
  alwaysVerifies?: boolean;
  start(setup: BenchSetup): Promise<Child>;
}

/** Ours, and everything on. */
export const ours: Contender = {
  name: 'Gatehouse gateway',
  does: 'hygiene, cached token, denylist in Redis, limits, breaker, shedding, helmet, metrics, access log; no scope, as /items has none here',
  start: (setup) => startChild('./targets/gatehouse.ts', setup),
};

/** The peer that remembers verified tokens too. */
export const fastify: Contender = {
  name: '@fastify/http-proxy + fast-jwt',
  does: 'cached token; no denylist, log or metrics',
  start: (setup) => startChild('./targets/fastify.ts', setup),
};

/** Every gateway; HAProxy where it is installed. */
export const contenders: readonly Contender[] = [
  ours,
  fastify,
  {
    name: '@fastify/http-proxy + fast-jwt + log',
    does: 'the same with the access log that Fastify has',
    start: (setup) => startChild('./targets/fastify.ts', { ...setup, accessLog: true }),
  },
  {
    name: 'http-proxy-middleware + express-oauth2-jwt-bearer + ioredis',
    does: 'the parts as they come: token verified and Redis EXISTS asked each time; no log or metrics',
    alwaysVerifies: true,
    start: (setup) => startChild('./targets/stock.ts', setup),
  },
  {
    name: 'node:http + undici',
    does: 'the floor: cached token, nothing else',
    start: (setup) => startChild('./targets/floor.ts', setup),
  },
  {
    name: 'node:http + undici + express-oauth2-jwt-bearer',
    does: 'the floor where tokens are new: each verified, nothing else',
    alwaysVerifies: true,
    start: (setup) => startChild('./targets/floor.ts', { ...setup, verifiesEach: true }),
  },
  ...(haproxyVersion()
    ? [
        {
          name: 'HAProxy',
          does: 'one thread, token verified each time; no denylist or log',
          alwaysVerifies: true,
          start: startHaproxy,
        },
      ]
    : []),
];

/** What the gateways are made of. */
export const packages = [
  'http-proxy-middleware',
  'undici',
  'express',
  '@fastify/http-proxy',
  'fastify',
  'fast-jwt',
  'express-oauth2-jwt-bearer',
  'ioredis',
];
