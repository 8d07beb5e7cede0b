import { noteCheck } from '@gatehouse/auth-middleware';
import {
  counterIn,
  histogramIn,
  type Logger,
  type Metrics,
  Problem,
  readIn,
  requestIdOf,
  traceIdOf,
} from '@gatehouse/service-kit/core';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { Pool } from 'undici';
import { type BreakerState, createBreaker } from './breaker.ts';
import { Places } from './places.ts';
import { createSpreadingLookup } from './replicas.ts';
import { createRetryBudget } from './retry-budget.ts';
import { undiciTransport } from './undici-transport.ts';
import type { UpstreamTraits } from './upstreams.ts';

// As many are answered in a turn of the event loop, however long that is under a flood.
const mostConnections = 512;
/** How many requests may be with one upstream, or wait for a connection to it. */
export const mostWithOne = 1_000;

export interface UpstreamProxy {
  readonly handler: RequestHandler;
  /** Whether there are as many requests with it as there may be: the next one would be refused. */
  isFull(): boolean;
  /** Cuts what is under way; the listener in front has drained by then. */
  close(): Promise<void>;
}

/**
 * Forwards requests as they are to one upstream, under deadlines for the connection (1 s), the wait for it, the
 * upstream's silence and the whole (60 s). An upstream that fails again and again is not asked for a while; one name may
 * stand for several of it. What fails before the answer has begun is a Problem: 503 when the upstream could not
 * be asked, 504 when it was too slow, 502 when it broke; never with a word about where it is.
 */
export function createUpstreamProxy(
  { name, url, silenceTimeoutMs, keepsCookies }: { name: string; url: string } & UpstreamTraits,
  { logger, metrics }: { logger: Logger; metrics: Metrics },
): UpstreamProxy {
  let lastState: BreakerState = 'closed';
  const breaker = createBreaker((state) => {
    // Between half open and open it goes back and forth as long as it is given up.
    if (state === 'open' && lastState === 'closed')
      logger.warn({ upstream: name }, 'upstream is given up for now');
    if (state === 'closed') logger.info({ upstream: name }, 'upstream answers again');
    lastState = state;
  });
  readIn(
    metrics.registry,
    {
      type: 'gauge',
      name: 'breaker_state',
      help: 'Whether an upstream is asked: 0 yes, 1 by one request, which may be the next one, 2 no',
      labelNames: ['upstream'],
    },
    () => [{ labels: { upstream: name }, value: { closed: 0, 'half open': 1, open: 2 }[breaker.state()] }],
  );
  const latency = histogramIn(metrics.registry, {
    name: 'upstream_duration_seconds',
    help: 'Time from the request to an upstream to the beginning of its answer',
    labelNames: ['upstream'],
  }).labels({ upstream: name });
  const failures = counterIn(metrics.registry, {
    name: 'upstream_failures_total',
    help: 'Requests that an upstream did not answer, or not to the end, by reason',
    labelNames: ['upstream', 'reason'],
  });
  const places = new Places({
    collecting: mostWithOne,
    inFlight: mostWithOne,
    // Bodies that come slowly leave connections for requests that are there; one network cannot have as many.
    streaming: mostConnections - 64,
  });
  const pool = new Pool(url, {
    connections: mostConnections,
    connect: { timeout: 1_000, lookup: createSpreadingLookup() },
    // So that replicas which are new get their share.
    clientTtl: 10_000,
    headersTimeout: silenceTimeoutMs,
    bodyTimeout: silenceTimeoutMs,
    // Services keep connections for 65 s; we let go of them first.
    keepAliveTimeout: 30_000,
    keepAliveMaxTimeout: 60_000,
    maxHeaderSize: 16 * 1024,
  });
  const forward = createProxyMiddleware({
    // As text it would be parsed twice for each request.
    target: new URL(url),
    pathFilter: () => true,
    // The default plugins answer errors with the host and the URL of the upstream.
    ejectPlugins: true,
    plugins: [
      undiciTransport(pool, {
        keepsCookies,
        breaker,
        // An upstream that restarts breaks all of its connections at once.
        retries: createRetryBudget(mostConnections),
        onAnswer: (res, milliseconds) => {
          latency.observe(milliseconds / 1_000);
          (res as Response).locals.upstreamMs = Math.round(milliseconds * 100) / 100;
        },
        headersOf: (res) => (res as Response).locals.headers,
        totalTimeoutMs: 60_000,
        waitTimeoutMs: silenceTimeoutMs,
        places,
      }),
      (proxyServer) => {
        proxyServer.on('error', (error: Failure, req, res) => {
          const request = req as Request & { next: NextFunction };
          const { code, message } = error;
          const reason = reasonOf(error);
          failures.inc({ upstream: name, reason });
          // That it is given up was logged when it was, and a flood of requests would say it once each.
          if (reason !== 'given up') {
            logger.warn(
              {
                requestId: requestIdOf(request),
                traceId: traceIdOf(request),
                upstream: name,
                errorCode: code,
                message,
              },
              'upstream failed',
            );
          }
          const problem = toProblem(reason);
          noteCheck(request, 'upstream', problem.message);
          if (!(res as Response).headersSent) request.next(problem);
        });
      },
    ],
  });
  return {
    handler(req, res, next) {
      const { url } = req;
      req.next = next;
      // For the filter, which lets everything pass, the library would parse it.
      req.url = '';
      void forward(req, res, next);
      req.url = url;
    },
    isFull: () => places.isFull('inFlight'),
    close: () => pool.destroy(),
  };
}

type Failure = Error & { code?: string };
type FailureReason = 'given up' | 'unreachable' | 'crowded' | 'too slow' | 'broken off';

const reasons: Record<string, FailureReason> = {
  BROKEN: 'given up',
  OVERLOADED: 'crowded',
  ECONNREFUSED: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  // Descriptors have run out here.
  EMFILE: 'unreachable',
  UND_ERR_CONNECT_TIMEOUT: 'unreachable',
  UND_ERR_DESTROYED: 'unreachable',
  UND_ERR_CLOSED: 'unreachable',
  UND_ERR_HEADERS_TIMEOUT: 'too slow',
  UND_ERR_BODY_TIMEOUT: 'too slow',
  DEADLINE: 'too slow',
};

function reasonOf({ code = '' }: Failure): FailureReason {
  return reasons[code] ?? 'broken off';
}

function toProblem(reason: FailureReason): Problem {
  const headers = { 'Retry-After': '1' };
  if (reason === 'too slow') return new Problem(504, 'The service did not answer in time', { headers });
  if (reason === 'broken off') return new Problem(502, 'The service broke off', { headers });
  return new Problem(503, 'The service is not reachable', { headers });
}
